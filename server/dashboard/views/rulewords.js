/** A rule in words: conditions, pairs as lines, durations with their unit. */

import { formatValue } from "../format.js";

export const SEVERITIES = ["info", "warning", "critical"];
const UNITS = { d: 86_400, h: 3_600, min: 60, s: 1 };

/** On which side of its limit a level fires: "above" or "below". */
export const sideOf = ({ above }) => ((above ?? null) === null ? "below" : "above");

/** What a condition fires on: "> 70 warning, > 80 critical". */
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

/** Seconds as people write them: "90 s", "5 min". */
export function durationText(seconds) {
	const [unit, size] = Object.entries(UNITS).find(([, each]) => seconds >= each && seconds % each === 0) ?? ["s", 1];
	return `${seconds / size} ${unit}`;
}

/** A bare number is seconds. */
export function secondsOf(text, name) {
	const [, digits, unit = "s"] = /^\s*([\d.]+)\s*(s|min|h|d)?\s*$/u.exec(text || "0") ?? [];
	const seconds = Number(digits) * UNITS[unit];
	if (!Number.isFinite(seconds)) throw new Error(`${name}: write a number and a unit, such as “90 s” or “5 min”.`);
	return seconds;
}

export function numberOf(text, name) {
	const value = text.trim() === "" ? NaN : Number(text);
	if (!Number.isFinite(value)) throw new Error(`${name}: a number is missing.`);
	return value;
}

/** Pairs as lines of name=value; what would not be read back like that is quoted as in JSON. */
export function pairsText(pairs) {
	const quoted = (text, unfit) => (unfit.test(text) || text !== text.trim() ? JSON.stringify(text) : text);
	return Object.entries(pairs ?? {}).map(([name, value]) => `${quoted(name, /^$|^"|[=\r\n]/)}=${quoted(value, /^"|[\r\n]/)}`).join("\n");
}

export function pairsOf(text, what) {
	return Object.fromEntries(linesOf(text).map((line) => {
		const [, name, value] = /^("(?:[^"\\]|\\.)*"|[^=]+)=(.*)$/su.exec(line) ?? [];
		if (name === undefined) throw new Error(`${what}: “${line}” is not of the form name=value.`);
		return [name, value].map(unquoted);
	}));
}

function unquoted(text) {
	const bare = text.trim();
	try {
		return bare[0] === '"' ? JSON.parse(bare) : bare;
	} catch {
		return bare; // it only begins like that
	}
}

export const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
