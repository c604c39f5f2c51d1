import { iso, MOMENT } from "../charts/span.js";
import { button, h } from "../tree.js";

const SPANS = [[900, "15 min"], [3_600, "1 h"], [21_600, "6 h"], [86_400, "24 h"], [604_800, "7 d"], [2_592_000, "30 d"]]; // seconds
const STEPS = {
	ArrowLeft: ["‹", "Earlier", "move", -0.5],
	ArrowRight: ["›", "Later", "move", 0.5],
	"+": ["+", "Zoom in", "zoom", 0.5],
	"-": ["−", "Zoom out", "zoom", 2],
};
const HINT = "Drag across a chart to zoom; a double click goes back.";

export function timeBar({ span, on, bounds, now }) {
	const [from, to] = bounds();
	const choice = (text, act, chosen, title) => button(text, act, { "aria-pressed": String(chosen), title });
	return h("div.timebar", { role: "group", "aria-label": "Time", title: HINT },
		h("span.group", SPANS.map(([length, name]) => choice(name, () => on.choose(length), span.live && span.length === length))),
		h("span.group", Object.entries(STEPS).map(([key, [text, name, act, amount]]) =>
			button(text, () => on[act](amount), { "aria-label": name, title: `${name} (${key})` }))),
		choice("Live", on.reset, span.live, "Go on with what comes now (0)"),
		h("span.muted.small", { title: `${iso(from)} – ${iso(to)} UTC` }, MOMENT.formatRange(from * 1_000, (span.to ?? now()) * 1_000)));
}

export function timeKeys(on, signal) {
	document.addEventListener("keydown", ({ key, ctrlKey, metaKey, altKey, target }) => {
		if (ctrlKey || metaKey || altKey || target.closest("input, select, textarea, pre, dialog")) return;
		const [, , act, amount] = STEPS[key] ?? [];
		if (act) on[act](amount);
		else if (key === "0") on.reset();
	}, { signal });
}
