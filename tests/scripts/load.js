// The pure half of the player in plain node: the same files in the same order as in a page.
const fs = require("node:fs");
const path = require("node:path");

const ROOT = path.join(__dirname, "../..");
const PLAYER = path.join(ROOT, "uncage_demo/player/static");
const PURE = new Set(["player-phrases.js", "player-unpack.js", "player-run.js", "player-data.js", "player-colors.js", "player-layers.js", "player-edit-cells.js"]);

globalThis.window = globalThis;
for (const name of JSON.parse(fs.readFileSync(path.join(PLAYER, "load-order.json"), "utf-8"))) {
  if (PURE.has(name)) require(path.join(PLAYER, name));
}

const fixture = process.env.UNCAGE_FIXTURE || path.join(__dirname, "fixture.json");
const { payload, truth, two } = JSON.parse(fs.readFileSync(fixture, "utf-8"));
const parts = globalThis.UncagePlayerParts;
const fresh = () => parts.data.parse(JSON.stringify(payload));

const pair = () => parts.data.parse(JSON.stringify(two));

module.exports = { parts, payload, truth, fresh, pair };
