// Edits on the stage: what the brush asks for goes to the server; what was on stage before can be brought back.
(function (page) {
  "use strict";

  const { shared, make } = page;
  const MOST_HISTORY = 20;
  const history = [];
  let shown = null;
  let opened = null; // how the brush stands, for the next player
  let lesson = 0; // which one asked for the edit, 0 for none
  let taken = false; // the next message is an earlier one, brought back

  // Before a player is mounted: whether the brush is offered, and how it begins.
  function prepare(options, message) {
    if (message.edit && shown && !taken) {
      history.push({ message: shown, opened });
      if (history.length > MOST_HISTORY) history.shift();
    } else if (!message.edit && !message.branch && !taken) history.length = 0;
    // the newest picture is the one to go on with
    if (message.edit) opened = { ...(message.edit === "picture" ? { open: true, mode: "edit" } : opened), run: message.ids.length - 1 };
    const back = taken; // who undid the first edit wants to go on with the brush
    taken = page.edits.asking = false;
    shown = message;
    // the brush begins with a picture, which only the server's model takes
    if (!message.here) options.actions.push("edit", ...(message.sketches ? ["sketch"] : []));
    else options.elsewhere = { text: "Editing needs the server, and these runs were drawn in this browser.", ...page.here.toServer };
    options.edit = { ...(message.edit || back || history.length ? opened : null), undo: history.length > 0 };
    own(message.own);
  }

  // What is said above an edit that a lesson asked for; it is said once.
  function fromWhere(message) {
    const said = lesson && message.edit ? `Lesson ${lesson} goes on under “Learn”.` : "";
    lesson = 0;
    return said;
  }

  // What the brush reports. Returns whether it was the brush's.
  function onEvent(name, detail, stage) {
    if (name === "editing") opened = { ...detail };
    else if (name === "edit") {
      page.busy("Drawing again…");
      page.edits.asking = true;
      stage.trigger("edit", { ids: shared.ids, event: detail });
    } else if (name === "unedit" && history.length) {
      taken = true;
      const before = history.pop();
      opened = before.opened;
      stage.show({ ...before.message, step: shared.step, seq: Date.now(), autoplay: false });
    } else return false;
    return true;
  }

  // What is wrong with an edit stands in the brush's panel. Returns whether it was an edit.
  function problem(text) {
    const brush = page.edits.asking && shared.stage && shared.stage.player.brush;
    page.edits.asking = false;
    if (!brush || !brush.on) return false;
    brush.panel.wrong(text);
    return true;
  }

  // A picture of one's own beside what its tokens can hold of it.
  function own(view) {
    const box = document.querySelector("#uc-stage .uc-own");
    box.hidden = !view;
    box.replaceChildren();
    if (!view) return;
    const row = make("div", "uc-own-row");
    for (const { name, data } of view.pictures) {
      const figure = make("figure", "uc-own-picture");
      const image = make("img", "");
      image.src = `data:image/webp;base64,${data}`;
      image.alt = name;
      figure.append(image, make("figcaption", "", name));
      row.append(figure);
    }
    const said = make("div", "uc-own-said");
    for (const sentence of view.said) said.append(make("p", "", sentence));
    row.append(said);
    box.append(row);
  }

  // An edit that a lesson asks for: its runs come on stage, then it is drawn.
  async function fromLesson(number, ids, detail) {
    page.openTab("play");
    await page.edits.stage.show({ seq: Date.now(), ids, step: detail.step });
    lesson = number;
    opened = { open: true, mode: detail.kind };
    onEvent("edit", detail, page.edits.stage);
  }

  page.edits = { prepare, problem, fromWhere, onEvent, fromLesson, stage: null, asking: false }; // asking: the brush waits for an answer
})(window.UncagePage);
