/** What rules say of a series' values: the limits to be drawn. */

import { covers } from "../alerts.js";
import { sideOf } from "../views/rulewords.js";

/** `{severity, side: "above" | "below", value, rule}`, by value. Of rates there are none. */
export function limitsOf(rules, lines) {
	return rules
		.filter((rule) => rule.enabled && lines.some((line) => watches(rule, line)))
		.flatMap((rule) => levelsOf(rule.condition).map((level) => ({ ...level, rule })))
		.sort((a, b) => a.value - b.value);
}

const watches = (rule, { metric, labels }) =>
	covers(rule.metric, metric) && Object.entries(rule.labels ?? {}).every(([name, value]) => labels[name] === value);

function levelsOf({ type, levels, outside, severity }) {
	if (type === "range") return ["below", "above"].map((side, place) => ({ severity, side, value: outside[place] }));
	if (type !== "threshold") return [];
	return levels.map((level) => ({ severity: level.severity, side: sideOf(level), value: level[sideOf(level)] }));
}
