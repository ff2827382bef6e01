// What the fields say of a run in this browser, checked as the server checks its own runs.
(function (page) {
  "use strict";

  // A field's value as the server would take it; what is wrong names the setting, the value and what is allowed.
  function checked(name, field, parts) {
    const { kind, open, low, high, choices } = field;
    const blank = parts.map((part) => part === null || part === undefined || part === "");
    if (blank.every(Boolean)) {
      if (open) return null;
      throw new Error(`${name} is blank; give a value`);
    }
    if (blank.some(Boolean)) throw new Error(`${name} is half blank; give both ends${open ? ", or neither" : ""}`);
    const [value] = parts;
    if (kind === "choice" && !choices.includes(value)) throw new Error(`${name}=${value}: choose one of ${choices.join(", ")}`);
    if (["whole", "number", "pair"].includes(kind)) {
      const wrong = parts.find((part) => typeof part !== "number" || !(part >= low && part <= high) || (kind === "whole" && !Number.isInteger(part)));
      if (wrong !== undefined) throw new Error(`${name}=${wrong}: give a ${kind === "whole" ? "whole number" : "number"} from ${low} to ${high}`);
    }
    return kind === "pair" ? parts : value;
  }

  // What a visitor asks for: text, model, age, orders and settings. `told` is what the server says of the fields.
  function given(told, [text, ...values]) {
    const of = Object.fromEntries(told.names.map((name, index) => [name, values[index]]));
    const config = {};
    for (const [name, field] of Object.entries(told.fields)) config[name] = checked(name, field, field.inputs.map((key) => of[key]));
    return { text: String(text || "").trim(), model: of.model, age: of.age || "", orders: [...new Set([of.order_a, of.order_b])], config, frames: of.frames || "all" };
  }

  page.hereFields = { given };
})(window.UncagePage);
