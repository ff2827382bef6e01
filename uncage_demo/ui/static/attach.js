// Last of the page's scripts: gives every component its behaviour, those that waited for the scripts first. See attach_script in theme.py.
(function () {
  "use strict";

  const attach = ([name, context]) => name.split(".").reduce((found, key) => found[key], window)(context);
  const waiting = window.uncageAttach || [];
  window.uncageAttach = { push: attach };
  waiting.forEach(attach);
})();
