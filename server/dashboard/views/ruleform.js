/** The form of a rule: every kind of condition, filled from a rule and read back into one. */

import { button, h, select, setText, table } from "../dom.js";
import { field } from "../form.js";
import { durationText, linesOf, numberOf, pairsOf, pairsText, secondsOf, SEVERITIES, sideOf } from "./rulewords.js";

const KINDS = {
  threshold: ["Value", "Fires where a value crosses a level. “Clear” is where the level is left again, so that noise does not ring twice."],
  range: ["Range", "Fires where a value is outside of two bounds."],
  rate: ["Rate of change", "Fires where the change per second, over a window, crosses a level."],
  absent: ["Silence", "Fires where a device has sent nothing for so long. It cannot be tried on history: when readings arrived is not stored."],
};
export const FRESH = {
  name: "", device: "*", metric: "", enabled: true, for_s: 0, keep_firing_for_s: 0,
  condition: { type: "threshold", levels: [{ severity: "warning", above: 70, clear: 65 }] },
};

const text = (name, label, value, hint) => field(label, h("input", { name, value: String(value ?? ""), autocomplete: "off" }), hint);
const area = (name, label, value, hint) => field(label, h("textarea", { name, rows: 2, spellcheck: "false" }, value), hint);

/** Gives the form as `root`, and `read()`: the rule as it stands there. That throws an Error that says what is missing. */
export function ruleForm(rule) {
  const levels = h("tbody", (rule.condition.levels ?? FRESH.condition.levels).map(drawLevel));
  const meaning = h("p.muted.small");
  const root = h("form.rule-form", { novalidate: true, onchange: showKind },
    h("section.panel.fields", h("h2", "What it watches"),
      text("name", "Name", rule.name, "Said in the alert: “Overheating”."),
      text("device", "Device", rule.device, "A name, or a pattern such as pump-*."),
      text("metric", "Metric", rule.metric, "temperature, or a pattern."),
      area("labels", "Labels", pairsText(rule.labels), "Optional, one a line: site=A"),
      h("label.tick", h("input", { type: "checkbox", name: "enabled", checked: rule.enabled }), "The rule is on")),
    h("section.panel.fields", h("h2", "When it fires"), drawCondition(rule, meaning, levels)),
    h("section.panel.fields", h("h2", "Whom it tells"),
      area("webhooks", "Webhooks", (rule.webhooks ?? []).join("\n"), "Optional, one address a line. Signed, and retried until they arrive."),
      area("annotations", "Annotations", pairsText(rule.annotations), "Optional, one a line: runbook=https://…")));
  const value = (name) => root.elements[name].value.trim();
  function showKind() {
    for (const part of root.querySelectorAll("[data-of]")) part.hidden = !part.dataset.of.split(" ").includes(value("kind"));
    setText(meaning, KINDS[value("kind")][1]);
  }
  showKind();
  return { root, read: () => readRule(value, root.elements.enabled.checked, levels) };
}

function drawCondition({ condition, for_s: lasting, keep_firing_for_s: kept }, meaning, levels) {
  const { type, outside = [], severity = "warning", after_s: after = 300, policy, window_s: window = 60 } = condition;
  const kinds = Object.entries(KINDS).map(([kind, [label]]) =>
    h("label", h("input", { type: "radio", name: "kind", value: kind, checked: kind === type }), h("span", label)));
  const of = (kinds, ...children) => h("div.row", { "data-of": kinds }, children);
  return [
    h("fieldset.choices", h("legend.unseen", "Kind of condition"), kinds),
    meaning,
    h("div.fields", { "data-of": "threshold rate" },
      h("div.levels", table(["Severity", "Where", "Limit", "Clear", ""], levels, "Remove")),
      button("Add a level", () => addLevel(levels))),
    of("rate", text("window", "Window", durationText(window), "Over which the change is taken: 60 s")),
    of("range", text("low", "Lowest", outside[0]), text("high", "Highest", outside[1])),
    of("absent", text("after", "After", durationText(after)),
      field("Its other alerts", select({ name: "policy" }, [["alert", "stay as they are"], ["resolve", "are resolved"]], policy))),
    of("range absent", field("Severity", select({ name: "severity" }, SEVERITIES, severity))),
    of("threshold range rate", text("for", "For at least", durationText(lasting), "0 s: at once"),
      text("keep", "Keeps firing for", durationText(kept), "after its condition is gone")),
  ];
}

function readRule(value, enabled, levels) {
  if (!value("name")) throw new Error("Name: a rule needs one.");
  if (!value("metric")) throw new Error("Metric: say what the rule watches, such as temperature, or *.");
  const type = value("kind");
  const condition = {
    threshold: () => ({ levels: [...levels.rows].map(readLevel) }),
    rate: () => ({ levels: [...levels.rows].map(readLevel), window_s: secondsOf(value("window"), "Window") }),
    range: () => ({ outside: [numberOf(value("low"), "Lowest"), numberOf(value("high"), "Highest")], severity: value("severity") }),
    absent: () => ({ after_s: secondsOf(value("after"), "After"), severity: value("severity"), policy: value("policy") }),
  }[type]();
  return {
    name: value("name"),
    device: value("device") || "*",
    metric: value("metric"),
    labels: pairsOf(value("labels"), "Labels"),
    enabled,
    condition: { type, ...condition },
    for_s: type === "absent" ? 0 : secondsOf(value("for"), "For at least"),
    keep_firing_for_s: type === "absent" ? 0 : secondsOf(value("keep"), "Keeps firing for"),
    annotations: pairsOf(value("annotations"), "Annotations"),
    webhooks: linesOf(value("webhooks")),
  };
}

function drawLevel(level) {
  const side = sideOf(level);
  const number = (label, value, more) => h("input", { "aria-label": label, inputmode: "decimal", value: String(value ?? ""), ...more });
  const controls = [
    select({ "aria-label": "Severity of the level" }, SEVERITIES, level.severity),
    select({ "aria-label": "Where" }, ["above", "below"], side),
    number("Limit", level[side]),
    number("Clear", level.clear, { placeholder: "the limit" }),
    button("×", () => row.parentElement.rows.length > 1 && row.remove(), { "aria-label": "Remove the level" }),
  ];
  const row = h("tr", controls.map((control) => h("td", control)));
  return row;
}

const valuesOf = (row) => [...row.querySelectorAll("select, input")].map(({ value }) => value);

function readLevel(row) {
  const [severity, side, limit, clear] = valuesOf(row);
  const level = { severity, [side]: numberOf(limit, `Limit of ${severity}`) };
  return clear.trim() ? { ...level, clear: numberOf(clear, `Clear of ${severity}`) } : level;
}

function addLevel(levels) {
  const [severity, side] = valuesOf(levels.lastElementChild);
  const row = drawLevel({ severity: SEVERITIES[SEVERITIES.indexOf(severity) + 1] ?? severity, [side]: "" });
  levels.append(row);
  row.querySelector("input").focus();
}
