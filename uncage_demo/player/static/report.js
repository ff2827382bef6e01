// The stand-alone page: reads the data that lies in it and plays.
(function () {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const state = read("state");
  window.uncage = window.UncagePlayer.mount(document.getElementById("player"), read("payload"), { state, autoplay: !state });
})();
