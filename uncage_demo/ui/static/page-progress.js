// Waiting, made visible: a bar with step and time left, the place in the queue, and pictures of the run that is still decoding.
(function (page) {
  "use strict";

  const { make } = page;

  function seconds(value) {
    return value < 9.95 ? `${value.toFixed(1)} s` : value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`;
  }

  function Progress(root) {
    root.replaceChildren();
    root.setAttribute("role", "status");
    root.tabIndex = -1; // where the focus waits while what had it is away
    const bar = make("div", "uc-bar");
    const fill = make("i");
    bar.append(fill);
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-valuemin", "0");
    const text = make("span", "uc-progress-text");
    root.append(bar, text);
    return {
      waiting(message) {
        root.hidden = false;
        bar.classList.add("uc-waiting");
        fill.style.width = "0";
        text.textContent = message;
      },
      part(said, share) {
        root.hidden = false;
        bar.classList.remove("uc-waiting");
        bar.setAttribute("aria-valuemax", "100");
        bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
        fill.style.width = `${100 * share}%`;
        text.textContent = said;
      },
      step(message) {
        root.hidden = false;
        if (message.phase && message.share === undefined) return this.waiting(message.phase);
        if (message.phase) return this.part(message.phase, message.share);
        const done = message.step + 1;
        bar.classList.remove("uc-waiting");
        bar.setAttribute("aria-valuemax", String(message.num_steps));
        bar.setAttribute("aria-valuenow", String(done));
        fill.style.width = `${(100 * done) / message.num_steps}%`;
        const left = (message.elapsed_s / Math.max(1, done - (message.from_step || 0))) * (message.num_steps - done);
        text.textContent = `Step ${done} of ${message.num_steps}` + (left > 0.05 ? ` · ${seconds(left)} left` : "");
      },
      hide() {
        root.hidden = true;
      },
    };
  }

  // What is committed so far, and the model's guess behind what is still masked.
  const Live = (root) => window.UncagePlayerParts.decoding.Decoding(root, "uc", "--uc-mask");

  // Gradio tells the place in the queue in a small tracker of its own ("queue: 2/3"); it is said beside the bar instead.
  function watchQueue(selector, running, say) {
    setInterval(() => {
      if (!document.body.classList.contains(running)) return;
      const node = document.querySelector(selector);
      const place = node && /queue:\s*(\d+)\s*\/\s*(\d+)/.exec(node.textContent);
      if (place) say(`Waiting: ${place[1]} ${place[1] === "1" ? "run" : "runs"} ahead of you`);
    }, 200);
  }

  Object.assign(page, { Progress, Live, watchQueue });
})(window.UncagePage);
