import { formatValue } from "../format.js";

export const SEVERITIES = ["info", "warning", "critical"];
const UNITS = { d: 86_400, h: 3_600, min: 60, s: 1 };

export const sideOf = ({ above }) => ((above ?? null) === null ? "below" : "above");

/** "> 70 warning, > 80 critical". */
export function wordsOf({ type, levels, outside, severity, after_s: after, window_s: window }) {
	if (type === "range") return `outside ${formatValue(outside[0])} … ${formatValue(outside[1])}: ${severity}`;
	if (type === "absent") return `silent for ${durationText(after)}: ${severity}`;
	const each = levels.map((level) => {
		const side = sideOf(level);
		return `${side === "above" ? ">" : "<"} ${formatValue(level[side])} ${level.severity}`;
	});
	return `${type === "rate" ? `change per second over ${durationText(window)} ` : ""}${each.join(", ")}`;
}

export const worstOf = ({ severity, levels = [] }) =>
	SEVERITIES.findLast((name) => name === severity || levels.some((level) => level.severity === name));

export function durationText(seconds) {
	const [unit, size] = Object.entries(UNITS).find(([, each]) => seconds >= each && seconds % each === 0) ?? ["s", 1];
	return `${seconds / size} ${unit}`;
}
