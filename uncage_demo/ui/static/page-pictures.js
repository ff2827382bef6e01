// Pictures of the steps that come after the finished ones: while many wait, the server draws those first.
(function (page) {
  "use strict";

  const { shared, parse } = page;
  const LATER = "Many people are waiting, so the finished pictures come first. The pictures of the steps follow.";

  function pictures(context) {
    const { element, props, server, trigger, watch } = context;

    const same = (ids) => Array.isArray(ids) && ids.length === (shared.ids || []).length && ids.every((id, k) => id === shared.ids[k]);

    async function arrived() {
      const message = parse(props.value);
      if (!message || !message.ids || !same(message.ids)) return;
      const answer = message.problem ? null : parse(await server.payload({ ids: message.ids }));
      if (!same(message.ids)) return; // other runs are on stage by now
      if (answer && answer.payload) shared.stage.player.givePictures(answer.payload.runs);
      const said = document.querySelector("#uc-stage .uc-stage-about p").textContent;
      page.tellAbove(said.replace(LATER, message.problem || "").trim());
    }

    page.stepPictures = {
      LATER,
      ask(ids) {
        trigger("owed", { ids });
      },
    };
    watch("value", arrived);
    element.dataset.attached = "1";
  }

  page.attach.pictures = pictures;
})(window.UncagePage);
