// The stand-alone page: reads the data that lies in it and plays. Notes are kept by saving the page again with them.
(function () {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const state = read("state");
  const payload = read("payload");
  let unsaved = false;

  function saveCopy(notes) {
    for (const run of payload.runs) run.notes = notes[run.id];
    const page = /** @type {HTMLElement} */ (document.documentElement.cloneNode(true));
    page.removeAttribute("class");
    page.querySelector("#player").replaceChildren();
    const escaped = { "<": "\\u003c", ">": "\\u003e", "&": "\\u0026" };
    page.querySelector("#payload").textContent = JSON.stringify(payload).replace(/[<>&]/g, (c) => escaped[c]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`<!doctype html>\n${page.outerHTML}\n`], { type: "text/html" }));
    link.download = `${document.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 48) || "player"}-notes.html`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
  }

  addEventListener("beforeunload", (event) => {
    if (unsaved) event.preventDefault();
  });
  window.uncage = window.UncagePlayer.mount(document.getElementById("player"), payload, {
    state, autoplay: !state, notes: {}, saveCopy, onEvent: (name) => (unsaved = unsaved || name === "notes"),
  });
})();
