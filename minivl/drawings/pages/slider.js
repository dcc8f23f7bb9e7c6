// A slider through drawings that were made before. `NAME` is what it moves, `STOPS` are [{value, image, words}].
"use strict";

const element = (id) => document.getElementById(id);

function show() {
  const stop = STOPS[element("place").value];
  element("value").textContent = stop.value;
  const image = element("shown").firstChild;
  image.src = stop.image;
  image.alt = stop.words;
}

element("name").textContent = NAME;
element("place").max = STOPS.length - 1;
element("place").value = BEGIN;
element("shown").append(document.createElement("img"));
element("place").addEventListener("input", show);
show();
