"use strict";
// What is wider than its place scrolls by itself: figures on a phone, wide tables and source. Where it does, the keyboard
// can reach it and a screen reader is told what it is; where all of it is seen, it is no stop on the way through the page.
const SCROLLING = "div.output, div.output figure, .pst-scrollable-table-container, div.highlight pre";

// Not called "name": that is the window's own name, which onnxruntime-web reads.
function kindOf(part) {
  return part.matches("figure") ? "Figure" : part.matches("pre") ? "Source" : "Output";
}

function mark() {
  for (const part of document.querySelectorAll(SCROLLING)) {
    if (part.scrollWidth > part.clientWidth + 1) {
      part.tabIndex = 0;
      part.setAttribute("role", "group");
      part.setAttribute("aria-label", `${kindOf(part)}, scrolls sideways`);
    } else {
      for (const attribute of ["tabindex", "role", "aria-label"]) part.removeAttribute(attribute);
    }
  }
}

addEventListener("load", mark);
addEventListener("resize", mark);
