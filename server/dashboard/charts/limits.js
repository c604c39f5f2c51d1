/** What rules say of a series' values: the limits to be drawn. */

import { covers } from "../alerts.js";
import { sideOf } from "../views/rulewords.js";

/** The limits of these series, by value: `{severity, side: "above" | "below", value, rule}`. Of rates there are none. */
export function limitsOf(rules, lines) {
	return rules
		.filter((rule) => rule.enabled && lines.some((line) => watches(rule, line)))
		.flatMap((rule) => levelsOf(rule.condition).map((level) => ({ ...level, rule })))
		.sort((a, b) => a.value - b.value);
}

function watches({ metric, labels = {} }, series) {
	return covers(metric, series.metric) && Object.entries(labels).every(([name, value]) => series.labels[name] === value);
}

function levelsOf({ type, levels, outside, severity }) {
	if (type === "range") return ["below", "above"].map((side, place) => ({ severity, side, value: outside[place] }));
	if (type !== "threshold") return [];
	return levels.map((level) => ({ severity: level.severity, side: sideOf(level), value: level[sideOf(level)] }));
}
