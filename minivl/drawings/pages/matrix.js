// The page of the matrix: numbers in, losses and gradients out. `START` is the matrix that it begins with.
"use strict";

const element = (id) => document.getElementById(id);
let S = START.map((row) => [...row]);

function build() {
  const head = "<tr><td></td>" + S.map((_, j) => `<th scope="col">video ${j + 1}</th>`).join("") + "</tr>";
  const rows = S.map((row, i) => `<tr><th scope="row">text ${i + 1}</th>` + row.map((s, j) =>
    `<td><input type="number" step="0.5" min="-20" max="20" value="${s}" aria-label="text ${i + 1}, video ${j + 1}"
      data-i="${i}" data-j="${j}"><br><span id="g${i}${j}"></span></td>`).join("") + "</tr>");
  element("matrix").innerHTML = head + rows.join("");
}

function show() {
  const n = Number(element("clips").value);
  const losses = { mil: milNCE(S, n), texts: textsChoose(S), videos: videosChoose(S), both: bothChoose(S) };
  losses[element("which").value].gradient.forEach((row, i) => row.forEach((g, j) => {
    const cell = element(`g${i}${j}`), strength = Math.min(1, Math.abs(g) * S.length);
    cell.textContent = (g > 0 ? "+" : "") + g.toFixed(3);
    cell.className = Math.abs(g) < 0.0005 ? "" : g < 0 ? "up" : "down";
    cell.parentElement.style.background =
      `rgba(${g < 0 ? "2,158,115" : "213,94,0"},${(0.55 * strength).toFixed(3)})`;
  }));
  element("said").textContent = `MIL-NCE ${losses.mil.loss.toFixed(4)} · InfoNCE: texts choose ` +
    `${losses.texts.loss.toFixed(4)}, videos choose ${losses.videos.loss.toFixed(4)}, both ${losses.both.loss.toFixed(4)}`;
}

element("matrix").addEventListener("input", (event) => {
  const value = Number(event.target.value);
  if (event.target.value === "" || !Number.isFinite(value)) return; // while somebody types
  S[event.target.dataset.i][event.target.dataset.j] = value;
  show();
});
for (const id of ["clips", "which"]) element(id).addEventListener("change", show);
element("again").addEventListener("click", () => {
  S = START.map((row) => [...row]);
  build();
  show();
});
build();
show();
