/** The form of a rule: every kind of condition, filled from a rule and read back into one. */

import { button, field, h, select, table, textField } from "../tree.js";
import { durationText, linesOf, numberOf, pairsOf, pairsText, secondsOf, SEVERITIES, sideOf } from "./rulewords.js";

const KINDS = {
  threshold: ["Value", "Fires where a value crosses a level. “Clear” is where the level is left again, so that noise does not ring twice."],
  range: ["Range", "Fires where a value is outside of two bounds."],
  rate: ["Rate of change", "Fires where the change per second, over a window, crosses a level."],
  absent: ["Silence", "Fires where a device has sent nothing for so long. It cannot be tried on history: when readings arrived is not stored."],
};
const FIRST_LEVEL = { severity: "warning", above: 70, clear: 65 };
export const FRESH = {
  name: "", device: "*", metric: "", enabled: true, for_s: 0, keep_firing_for_s: 0,
  condition: { type: "threshold", levels: [FIRST_LEVEL] },
};

const text = (name, label, value, hint) => textField(label, name, { defaultValue: value ?? "", hint });
const lines = (name, label, value, hint) => field(label, h("textarea", { name, rows: 2, spellcheck: "false", defaultValue: value }), hint);

/** Gives `tree()`, what is in the <form>, and `read(form)`: the rule as it stands there. That throws an Error that says what is missing. */
export function ruleForm(rule, draw) {
  const { condition } = rule;
  let kind = condition.type;
  let levels = (condition.levels ?? [FIRST_LEVEL]).map((level) => ({ ...level }));

  const tree = () => [
    h("section.panel.fields", h("h2", "What it watches"),
      text("name", "Name", rule.name, "Said in the alert: “Overheating”."),
      text("device", "Device", rule.device, "A name, or a pattern such as pump-*."),
      text("metric", "Metric", rule.metric, "temperature, or a pattern."),
      lines("labels", "Labels", pairsText(rule.labels), "Optional, one a line: site=A"),
      h("label.tick", h("input", { type: "checkbox", name: "enabled", defaultChecked: rule.enabled }), "The rule is on")),
    h("section.panel.fields", h("h2", "When it fires"), conditionTree()),
    h("section.panel.fields", h("h2", "Whom it tells"),
      lines("webhooks", "Webhooks", (rule.webhooks ?? []).join("\n"), "Optional, one address a line. Signed, and retried until they arrive."),
      lines("annotations", "Annotations", pairsText(rule.annotations), "Optional, one a line: runbook=https://…")),
  ];

  function conditionTree() {
    const { outside = [], severity = "warning", after_s: after = 300, policy, window_s: window = 60 } = condition;
    const row = (kinds, ...children) => h("div.row", { hidden: !kinds.includes(kind) }, children);
    const levelled = ["threshold", "rate"];
    return [
      h("fieldset.choices", h("legend.unseen", "Kind of condition"), Object.entries(KINDS).map(([each, [label]]) =>
        h("label", h("input", { type: "radio", name: "kind", value: each, checked: each === kind, onchange: choose }), h("span", label)))),
      h("p.muted.small", KINDS[kind][1]),
      h("div.fields", { hidden: !levelled.includes(kind) },
        h("div.levels", table(["Severity", "Where", "Limit", "Clear", ""], levels.map(levelRow), "Remove")),
        button("Add a level", addLevel)),
      row(["rate"], text("window", "Window", durationText(window), "Over which the change is taken: 60 s")),
      row(["range"], text("low", "Lowest", outside[0]), text("high", "Highest", outside[1])),
      row(["absent"],
        text("after", "After", durationText(after)),
        field("Its other alerts", select({ name: "policy" }, [["alert", "stay as they are"], ["resolve", "are resolved"]], policy))),
      row(["range", "absent"], field("Severity", select({ name: "severity" }, SEVERITIES, severity))),
      row([...levelled, "range"],
        text("for", "For at least", durationText(rule.for_s), "0 s: at once"),
        text("keep", "Keeps firing for", durationText(rule.keep_firing_for_s), "after its condition is gone")),
    ];
  }

  function levelRow(level) {
    const side = sideOf(level);
    const number = (label, name, value, placeholder) =>
      h("input", { "aria-label": label, name, inputmode: "decimal", autocomplete: "off", defaultValue: value ?? "", placeholder });
    return h("tr", { key: level }, [
      select({ "aria-label": "Severity of the level", name: "level" }, SEVERITIES, level.severity),
      select({ "aria-label": "Where", name: "side" }, ["above", "below"], side),
      number("Limit", "limit", level[side]),
      number("Clear", "clear", level.clear, "the limit"),
      button("×", () => removeLevel(level), { "aria-label": "Remove the level" }),
    ].map((control) => h("td", control)));
  }

  function choose({ target }) {
    kind = target.value;
    draw();
  }

  function removeLevel(level) {
    if (levels.length > 1) levels = levels.filter((each) => each !== level);
    draw();
  }

  /** Another level: the next severity, on the side of the last one. */
  function addLevel({ target: { form, parentElement } }) {
    const { severity, side } = levelsOf(new FormData(form)).at(-1);
    levels.push({ severity: SEVERITIES[SEVERITIES.indexOf(severity) + 1] ?? severity, [side]: "" });
    draw();
    parentElement.querySelector("tr:last-child input").focus();
  }

  return { tree, read: (form) => readRule(new FormData(form)) };
}

/** The levels as they stand in the form: texts. */
function levelsOf(values) {
  const [severities, sides, limits, clears] = ["level", "side", "limit", "clear"].map((name) => values.getAll(name));
  return severities.map((severity, place) => ({ severity, side: sides[place], limit: limits[place], clear: clears[place] }));
}

function readLevel({ severity, side, limit, clear }) {
  const level = { severity, [side]: numberOf(limit, `Limit of ${severity}`) };
  return clear.trim() ? { ...level, clear: numberOf(clear, `Clear of ${severity}`) } : level;
}

function readRule(values) {
  const value = (name) => values.get(name).trim();
  if (!value("name")) throw new Error("Name: a rule needs one.");
  if (!value("metric")) throw new Error("Metric: say what the rule watches, such as temperature, or *.");
  const type = value("kind");
  const condition = {
    threshold: () => ({ levels: levelsOf(values).map(readLevel) }),
    rate: () => ({ levels: levelsOf(values).map(readLevel), window_s: secondsOf(value("window"), "Window") }),
    range: () => ({ outside: [numberOf(value("low"), "Lowest"), numberOf(value("high"), "Highest")], severity: value("severity") }),
    absent: () => ({ after_s: secondsOf(value("after"), "After"), severity: value("severity"), policy: value("policy") }),
  }[type]();
  return {
    name: value("name"),
    device: value("device") || "*",
    metric: value("metric"),
    labels: pairsOf(value("labels"), "Labels"),
    enabled: values.has("enabled"),
    condition: { type, ...condition },
    for_s: type === "absent" ? 0 : secondsOf(value("for"), "For at least"),
    keep_firing_for_s: type === "absent" ? 0 : secondsOf(value("keep"), "Keeps firing for"),
    annotations: pairsOf(value("annotations"), "Annotations"),
    webhooks: linesOf(value("webhooks")),
  };
}
