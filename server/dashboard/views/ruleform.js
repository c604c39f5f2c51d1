/** The form of a rule: every kind of condition, filled from a rule and read back into one. */

import { h } from "../dom.js";
import { field } from "../form.js";
import { durationText, linesOf, numberOf, pairsOf, pairsText, secondsOf } from "./rulewords.js";

const KINDS = { threshold: "Value", range: "Range", rate: "Rate of change", absent: "Silence" };
const MEANINGS = {
  threshold: "Fires where a value crosses a level. “Clear” is where the level is left again, so that noise does not ring twice.",
  range: "Fires where a value is outside of two bounds.",
  rate: "Fires where the change per second, over a window, crosses a level.",
  absent: "Fires where a device has sent nothing for so long. It cannot be tried on history: when readings arrived is not stored.",
};
const SEVERITIES = ["info", "warning", "critical"];
const POLICIES = { alert: "stay as they are", resolve: "are resolved" };
/** What a new rule begins with. */
export const FRESH = {
  name: "", device: "*", metric: "", enabled: true, for_s: 0, keep_firing_for_s: 0,
  condition: { type: "threshold", levels: [{ severity: "warning", above: 70, clear: 65 }] },
};

export class RuleForm {
  #fields = {};
  #levels;
  #kept;

  /** The <form>, to be put into the page. */
  root;

  /** @param rule what it begins with  @param {AbortSignal} signal */
  constructor(rule, signal) {
    this.#kept = rule;
    const condition = rule.condition;
    this.#levels = h("tbody", {}, (condition.levels ?? FRESH.condition.levels).map(makeLevel));
    this.root = h("form", { class: "rule-form", novalidate: true }, this.#naming(rule), this.#judging(rule), this.#telling(rule));
    this.root.addEventListener("change", () => this.#showKind(), { signal });
    this.root.addEventListener("click", ({ target }) => {
      if (target.dataset.act === "remove" && this.#levels.rows.length > 1) target.closest("tr").remove();
      if (target.dataset.act === "add") this.#addLevel();
    }, { signal });
    this.#showKind();
  }

  /** The rule as the form has it. Throws an Error that says what is missing. */
  read() {
    const of = (name) => this.#fields[name].value;
    if (!of("name").trim()) throw new Error("Name: a rule needs one.");
    if (!of("metric").trim()) throw new Error("Metric: say what the rule watches, such as temperature, or *.");
    const silent = this.#kind === "absent";
    return {
      name: of("name").trim(),
      device: of("device").trim() || "*",
      metric: of("metric").trim(),
      labels: pairsOf(of("labels"), "Labels"),
      enabled: this.#fields.enabled.checked,
      condition: this.#condition(of),
      for_s: silent ? 0 : secondsOf(of("for"), "For at least"),
      keep_firing_for_s: silent ? 0 : secondsOf(of("keep"), "Keeps firing for"),
      annotations: pairsOf(of("annotations"), "Annotations"),
      webhooks: linesOf(of("webhooks")),
    };
  }

  get #kind() {
    return this.root.querySelector("[name=kind]:checked").value;
  }

  #condition(of) {
    if (this.#kind === "range") {
      return { type: "range", outside: [numberOf(of("low"), "Lowest"), numberOf(of("high"), "Highest")], severity: of("range_severity") };
    }
    if (this.#kind === "absent") {
      return { type: "absent", after_s: secondsOf(of("after"), "After"), severity: of("absent_severity"), policy: of("policy") };
    }
    const levels = [...this.#levels.rows].map(readLevel);
    return this.#kind === "rate" ? { type: "rate", levels, window_s: secondsOf(of("window"), "Window") } : { type: "threshold", levels };
  }

  #naming({ name, device, metric, labels, enabled }) {
    return h("section", { class: "panel fields" }, h("h2", {}, "What it watches"),
      this.#text("name", "Name", name, "Said in the alert: “Overheating”."),
      this.#text("device", "Device", device, "A name, or a pattern such as pump-*."),
      this.#text("metric", "Metric", metric, "temperature, or a pattern."),
      this.#area("labels", "Labels", pairsText(labels), "Optional, one a line: site=A"),
      h("label", { class: "tick" }, this.#keep("enabled", h("input", { type: "checkbox", checked: enabled })), h("span", {}, "The rule is on")));
  }

  #judging({ condition, for_s: lasting, keep_firing_for_s: kept }) {
    const { type, outside = ["", ""], severity = "warning", after_s: after = 300, policy, window_s: window = 60 } = condition;
    const kinds = Object.entries(KINDS).map(([kind, label]) =>
      h("label", {}, h("input", { type: "radio", name: "kind", value: kind, checked: kind === type }), h("span", {}, label)));
    const heads = ["Severity", "Where", "Limit", "Clear", ""].map((head) => h("th", { scope: "col" }, head || h("span", { class: "unseen" }, "Remove")));
    return h("section", { class: "panel fields" }, h("h2", {}, "When it fires"),
      h("fieldset", { class: "choices" }, h("legend", { class: "unseen" }, "Kind of condition"), kinds),
      h("p", { class: "muted small", "data-part": "meaning" }),
      h("div", { class: "fields", "data-of": "threshold rate" },
        h("table", { class: "levels" }, h("thead", {}, h("tr", {}, heads)), this.#levels),
        h("button", { type: "button", class: "quiet", "data-act": "add" }, "Add a level")),
      h("div", { class: "fields", "data-of": "rate" }, this.#text("window", "Window", durationText(window), "Over which the change is taken: 60 s")),
      h("div", { class: "row", "data-of": "range" }, this.#text("low", "Lowest", outside[0]), this.#text("high", "Highest", outside[1]),
        this.#severity("range_severity", severity)),
      h("div", { class: "row", "data-of": "absent" }, this.#text("after", "After", durationText(after)), this.#severity("absent_severity", severity),
        field("Its other alerts", this.#keep("policy", h("select", {}, Object.entries(POLICIES).map(([value, text]) => h("option", { value, selected: value === policy }, text)))))),
      h("div", { class: "row", "data-of": "threshold range rate" },
        this.#text("for", "For at least", durationText(lasting), "0 s: at once"),
        this.#text("keep", "Keeps firing for", durationText(kept), "after its condition is gone")));
  }

  #telling({ annotations, webhooks }) {
    return h("section", { class: "panel fields" }, h("h2", {}, "Whom it tells"),
      this.#area("webhooks", "Webhooks", (webhooks ?? []).join("\n"), "Optional, one address a line. Signed, and retried until they arrive."),
      this.#area("annotations", "Annotations", pairsText(annotations), "Optional, one a line: runbook=https://…"));
  }

  #addLevel() {
    const last = readable(this.#levels.rows[this.#levels.rows.length - 1]);
    const next = SEVERITIES[Math.min(2, SEVERITIES.indexOf(last.severity) + 1)];
    const row = makeLevel({ severity: next, [last.side]: "" });
    this.#levels.append(row);
    row.querySelector("[data-level=limit]").focus();
  }

  #showKind() {
    for (const block of this.root.querySelectorAll("[data-of]")) block.hidden = !block.dataset.of.split(" ").includes(this.#kind);
    this.root.querySelector("[data-part=meaning]").textContent = MEANINGS[this.#kind];
  }

  #keep(name, control) {
    this.#fields[name] = control;
    return control;
  }

  #text(name, label, value, hint = "") {
    return field(label, this.#keep(name, h("input", { name, value: String(value ?? ""), autocomplete: "off" })), hint);
  }

  #area(name, label, value, hint) {
    const area = h("textarea", { name, rows: 2, spellcheck: "false" });
    area.value = value;
    return field(label, this.#keep(name, area), hint);
  }

  #severity(name, chosen) {
    return field("Severity", this.#keep(name, h("select", {}, SEVERITIES.map((each) => h("option", { value: each, selected: each === chosen }, each)))));
  }
}

function makeLevel({ severity, above, below, clear }) {
  const side = above === undefined || above === null ? "below" : "above";
  const cell = (name, control) => {
    control.dataset.level = name;
    control.setAttribute("aria-label", { severity: "Severity of the level", side: "Where", limit: "Limit", clear: "Clear" }[name]);
    return h("td", {}, control);
  };
  const choice = (options, chosen) => h("select", {}, options.map((each) => h("option", { value: each, selected: each === chosen }, each)));
  return h("tr", {},
    cell("severity", choice(SEVERITIES, severity)), cell("side", choice(["above", "below"], side)),
    cell("limit", h("input", { inputmode: "decimal", value: String(above ?? below ?? "") })),
    cell("clear", h("input", { inputmode: "decimal", value: String(clear ?? ""), placeholder: "the limit" })),
    h("td", {}, h("button", { type: "button", class: "quiet", "data-act": "remove", "aria-label": "Remove the level" }, "×")));
}

const readable = (row) => Object.fromEntries([...row.querySelectorAll("[data-level]")].map((each) => [each.dataset.level, each.value]));

function readLevel(row) {
  const { severity, side, limit, clear } = readable(row);
  const level = { severity, [side]: numberOf(limit, `Limit of ${severity}`) };
  return clear.trim() ? { ...level, clear: numberOf(clear, `Clear of ${severity}`) } : level;
}
