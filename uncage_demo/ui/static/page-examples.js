// The row of finished examples: a picture and a title each; choosing one puts it on stage, without a model and without a queue.
(function (page) {
  "use strict";

  const { make, button, parse } = page;

  function examples(context) {
    const { element, props, server, trigger, watch } = context;
    const root = element.querySelector(".uc-examples");
    const pictures = new Map();
    let chosen = "";

    function show(slot, name) {
      const address = pictures.get(name);
      if (typeof address !== "string" || !address.startsWith("data:image/jpeg;base64,")) return;
      const picture = make("img");
      picture.alt = "";
      picture.src = address;
      slot.replaceChildren(picture);
    }

    function mark() {
      for (const node of root.querySelectorAll("button")) node.setAttribute("aria-pressed", String(node.dataset.example === chosen));
    }

    function render() {
      root.replaceChildren();
      for (const example of parse(props.value) || []) {
        const node = button("uc-example", undefined, () => trigger("choose", { name: example.name }));
        const slot = make("span", "uc-example-picture");
        node.append(slot, make("span", "", example.title));
        node.title = example.about;
        node.dataset.example = example.name;
        root.append(node);
        show(slot, example.name);
      }
      mark();
    }

    async function fetchPictures() {
      const answer = parse(await server.example_pictures({}));
      for (const [name, address] of Object.entries((answer && answer.pictures) || {})) pictures.set(name, address);
      for (const node of root.querySelectorAll("button")) show(node.firstChild, node.dataset.example);
    }

    document.addEventListener("uc-shown", (event) => {
      chosen = event.detail.example || "";
      mark();
    });
    watch("value", render);
    render();
    fetchPictures();
  }

  page.attach.examples = examples;
})(window.UncagePage);
