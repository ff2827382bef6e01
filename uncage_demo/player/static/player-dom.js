// Small helpers for the document. Text only ever enters through textContent.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = String(text);
    return node;
  }

  function button(className, text, onClick) {
    const node = make("button", className, text);
    node.type = "button";
    if (onClick) node.addEventListener("click", onClick);
    return node;
  }

  // A hint that says one thing to a mouse with a keyboard and another to a finger (player.css shows one of them).
  function hint(mouse, touch) {
    const node = make("p", "up-hint");
    node.append(make("span", "up-mouse-only", mouse), make("span", "up-touch-only", touch));
    return node;
  }

  function svg(tag, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
    return node;
  }

  // Strokes of a finger that are the player's own while `own` says so. A browser takes a quick stroke for a fling, even where nothing
  // scrolls, and the next tap then only stops the fling: it would click nothing.
  function ownStrokes(node, own) {
    node.addEventListener("touchmove", (event) => {
      if (event.cancelable && own(event.touches[0])) event.preventDefault();
    }, { passive: false });
  }

  parts.dom = { make, button, hint, svg, ownStrokes };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));
