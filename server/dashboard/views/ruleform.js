import { button, choices, field, h, select, table, textField } from "../tree.js";
import { durationText, SEVERITIES } from "./rulewords.js";

const KINDS = {
	threshold: ["Value", "Fires where a value crosses a level. “Clear” is where it is left again, so that noise does not ring twice."],
	range: ["Range", "Fires where a value is outside of two bounds."],
	rate: ["Rate of change", "Fires where the change per second, over a window, crosses a level."],
	absent: ["Silence", "Fires where a device has sent nothing for so long. It cannot be tried on history."],
};

const bound = (draft, name) => ({ name, value: draft[name], oninput: ({ target }) => (draft[name] = target.value) });
const LEVELLED = ["threshold", "rate"];
const NUMBER = { type: "number", step: "any", required: true };

/** Gives what draws it; `draw()` follows when there is more or less of it. */
export function ruleForm(draft, draw) {
	const text = (label, name, attributes) => textField(label, name, { ...bound(draft, name), required: true, ...attributes });
	const seconds = (label, name, hint = "") =>
		text(label, name, { ...NUMBER, min: 0, hint: `seconds, that is ${durationText(draft[name])}${hint}` });
	const lines = (label, name, hint) => field(label, h("textarea", { ...bound(draft, name), rows: 2, spellcheck: "false" }), hint);
	const row = (kinds, ...children) => kinds.includes(draft.type) && h("div.row", { key: kinds.join() }, children);

	const tree = () => [
		h("section.panel.fields", h("h2", "What it watches"),
			text("Name", "name", { hint: "Said in the alert: “Overheating”." }),
			text("Device", "device", { hint: "A name, or a pattern such as pump-*." }),
			text("Metric", "metric", { hint: "temperature, or a pattern." }),
			lines("Labels", "labels", "Optional, one a line: site=A"),
			h("label.tick",
				h("input", { type: "checkbox", checked: draft.enabled, onchange: ({ target }) => (draft.enabled = target.checked) }),
				"The rule is on")),
		h("section.panel.fields", h("h2", "When it fires"),
			choices(h("span.unseen", "Kind of condition"), "kind", Object.entries(KINDS).map(([kind, [label]]) => [kind, label]), draft.type, choose),
			h("p.muted.small", KINDS[draft.type][1]),
			LEVELLED.includes(draft.type) && h("div.fields",
				h("div.levels", table(["Severity", "Where", "Limit", "Clear", ""], draft.levels.map(levelRow), "Remove")),
				button("Add a level", addLevel)),
			row(["rate"], seconds("Window", "window_s")),
			row(["range"], text("Lowest", "low", NUMBER), text("Highest", "high", NUMBER)),
			row(["absent"],
				seconds("After", "after_s"),
				field("Its other alerts", select(bound(draft, "policy"), [["alert", "stay as they are"], ["resolve", "are resolved"]]))),
			row(["range", "absent"], field("Severity", select(bound(draft, "severity"), SEVERITIES))),
			row([...LEVELLED, "range"],
				seconds("For at least", "for_s"),
				seconds("Keeps firing for", "keep_firing_for_s", " after its condition is gone"))),
		h("section.panel.fields", h("h2", "Whom it tells"),
			lines("Webhooks", "webhooks", "Optional, one address a line. Signed, and retried until they arrive."),
			lines("Annotations", "annotations", "Optional, one a line: runbook=https://…")),
	];

	function levelRow(level) {
		const number = (label, name, attributes) =>
			h("input", { ...bound(level, name), ...NUMBER, "aria-label": label, ...attributes });
		return h("tr", { key: level }, [
			select({ ...bound(level, "severity"), "aria-label": "Severity of the level" }, SEVERITIES),
			select({ ...bound(level, "side"), "aria-label": "Where" }, ["above", "below"]),
			number("Limit", "limit"),
			number("Clear", "clear", { required: false, placeholder: "the limit" }),
			button("×", () => removeLevel(level), { "aria-label": "Remove the level" }),
		].map((control) => h("td", control)));
	}

	function choose(kind) {
		draft.type = kind;
		draw();
	}

	function removeLevel(level) {
		if (draft.levels.length > 1) draft.levels = draft.levels.filter((each) => each !== level);
		draw();
	}

	function addLevel({ target }) {
		const { severity, side } = draft.levels.at(-1);
		const worse = SEVERITIES[SEVERITIES.indexOf(severity) + 1] ?? severity;
		draft.levels.push({ severity: worse, side });
		draw();
		target.parentElement.querySelector("tr:last-child input").focus();
	}

	return tree;
}
