// Gradio's loading screen counts seconds frame by frame, and never stops: it is taken away before it hears that the page is there.
// So every visit would cost sixty frames a second for good. Its clock gets frames until the page is there; whoever else asks gets them always.
// Runs before Gradio's scripts (first_script.py): they keep the function that they find when they are loaded.
(function () {
  "use strict";

  const PAGE = "uc-header"; // stands in the page once Gradio has put it together
  const frame = window.requestAnimationFrame.bind(window);
  const isClock = (callback) => /\bperformance\.now\(\)/.test(String(callback));
  let stopped = false;
  let ofScreen = false; // a frame of the loading screen's clock is running

  window.requestAnimationFrame = function (callback) {
    if (stopped || !isClock(callback)) return frame(callback);
    const there = Boolean(document.getElementById(PAGE));
    if (there && !ofScreen) return frame(callback); // a clock of the page's own parts
    if (there) {
      stopped = true;
      return 0;
    }
    return frame((time) => {
      ofScreen = true;
      try {
        callback(time);
      } finally {
        ofScreen = false;
      }
    });
  };
})();
