// The page of masking. `WORDS` are the tokens of a sentence with [CLS] and [SEP], `FRAMES` drawings of its seconds.
"use strict";

const element = (id) => document.getElementById(id);
const masked = { words: new Set(), frames: new Set() };

function button(kind, place, content, name, fixed) {
  const it = document.createElement("button");
  it.type = "button";
  it.disabled = fixed;
  it.setAttribute("aria-label", name);
  it.setAttribute("aria-pressed", "false");
  it.innerHTML = content;
  it.addEventListener("click", () => {
    masked[kind].has(place) ? masked[kind].delete(place) : masked[kind].add(place);
    const on = masked[kind].has(place);
    it.setAttribute("aria-pressed", String(on));
    it.innerHTML = on ? (kind === "words" ? "[MASK]" : "<span>0</span>") : content;
    show();
  });
  element(kind).append(it);
}

// What CMLM and CMFM ask, given which words and seconds are masked.
function questions() {
  const words = [...masked.words].sort((a, b) => a - b), frames = [...masked.frames].sort((a, b) => a - b);
  const asked = words.map((w) => `CMLM asks at word ${w}: which of the V words of the vocabulary stood here, given the ` +
    `other words and the seconds? Right: “${WORDS[w]}”.`);
  if (!words.length) asked.push("CMLM asks nothing: no word is masked, and the loss is 0.");
  asked.push(...frames.map((f) => `CMFM asks at second ${f + 1}: which of the K real seconds of the batch, unmasked, was ` +
    `here? Right: second ${f + 1} of this clip; the other ${FRAMES.length - 1} of the clip are wrong, as are all of other clips.`));
  if (!frames.length) asked.push("CMFM asks nothing: no second is masked, and the loss is 0.");
  return asked;
}

function show() {
  const text = WORDS.map((word, w) => (masked.words.has(w) ? "[MASK]" : word)).join(" ");
  const video = FRAMES.map((_, f) => (masked.frames.has(f) ? "0" : `f${f + 1}`)).join(" ");
  element("given").textContent = `${text} | ${video}`;
  element("said").replaceChildren(...questions().map((words) => {
    const item = document.createElement("li");
    item.textContent = words;
    return item;
  }));
}

WORDS.forEach((word, w) => button("words", w, word, `word ${w}: ${word}`, w === 0 || w === WORDS.length - 1));
FRAMES.forEach((svg, f) => button("frames", f, svg, `second ${f + 1}`, false));
show();
