import { saidBy } from "../form.js";
import { counted, formatCount, formatValue } from "../format.js";
import { button, h, moment, select, shape } from "../tree.js";
import { ruleOf } from "./ruledraft.js";

const HOUR_MS = 3_600_000;
const SPANS = [[6, "the last 6 hours"], [24, "the last 24 hours"], [168, "the last 7 days"], [720, "the last 30 days"]]; // hours
const MOST_TOLD = 1_000;
const MOST_SHOWN = 100;
const PATIENCE_MS = 20_000; // the server gives a preview ten seconds

export function rulePreview({ api, clock }, draft, draw) {
	let summary = "Try the rule on stored readings. Nothing is changed, nobody is told.";
	let transitions = [];
	let trying = false;
	let hours = 24;

	async function attempt({ target }) {
		if (!target.form.reportValidity()) return;
		const to = clock.now();
		[trying, transitions, summary] = [true, [], "Reading …"];
		draw();
		try {
			const question = { rule: ruleOf(draft), from: new Date(to - hours * HOUR_MS), to: new Date(to), limit: MOST_TOLD };
			const told = await api.post("/v1/rules/preview", question, PATIENCE_MS);
			summary = summaryOf(told);
			({ transitions } = told);
		} catch (error) {
			summary = saidBy(error);
		}
		trying = false;
		draw();
	}

	return () => h("section.panel.fields",
		h("h2", "What it would have done"),
		h("div.row.preview-ask",
			select({ "aria-label": "On which history", onchange: ({ target }) => (hours = target.value) }, SPANS, hours),
			button("Try it", attempt, { disabled: trying })),
		h("p", { role: "status" }, summary),
		h("ol.preview.rows", transitions.slice(-MOST_SHOWN).reverse().map(transitionRow)));
}

function summaryOf({ series, readings, transitions, truncated_by: lack }) {
	const fired = transitions.filter(({ event }) => event === "firing");
	const devices = new Set(fired.map(({ device }) => device)).size;
	const found = fired.length
		? `It would have fired ${counted(fired.length, "time")}, on ${counted(devices, "device")}.`
		: series ? "It would not have fired." : "It watches no series that is stored yet.";
	const judged = `${counted(readings, "reading")} of ${formatCount(series)} series were judged.`;
	return `${found} ${judged} ${lack ? `It was cut short by its limit “${lack}”.` : ""}`;
}

function transitionRow({ event, at, device, metric, severity, value, threshold }) {
	const name = event === "resolved" ? "resolved" : severity;
	return h("li", { "data-severity": name },
		shape(name, name),
		h("span", h("b", device), ` · ${metric} ${event} at ${formatValue(value)}`,
			h("span.muted", ` (limit ${formatValue(threshold)})`)),
		moment(at));
}
