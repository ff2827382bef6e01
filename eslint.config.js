// The page's scripts are plain scripts that share `window`; the tests are node's.
const js = require("@eslint/js");
const globals = require("globals");

module.exports = [
  js.configs.recommended,
  {
    files: ["uncage_demo/**/*.js"],
    ignores: ["uncage_demo/browser/**"],
    languageOptions: { ecmaVersion: 2022, sourceType: "script", globals: globals.browser },
    rules: { "no-self-compare": "off", "prefer-const": ["error", { destructuring: "all" }], "no-var": "error", eqeqeq: "error" },
  },
  // What decodes in the browser is modules.
  {
    files: ["uncage_demo/browser/**/*.js"],
    languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: { ...globals.browser, ...globals.worker } },
    rules: { "prefer-const": ["error", { destructuring: "all" }], "no-var": "error", eqeqeq: "error" },
  },
  { files: ["tests/browser/**/*.mjs"], languageOptions: { ecmaVersion: 2022, sourceType: "module", globals: globals.node } },
  { files: ["tests/scripts/**/*.js", "eslint.config.js"], languageOptions: { ecmaVersion: 2022, sourceType: "commonjs", globals: globals.node } },
];
