/** A rule as texts that can be edited, and read back into a rule. Pure. */

import { sideOf } from "./rulewords.js";

const FIRST_LEVEL = { severity: "warning", above: 70, clear: 65 };

export function draftOf({ condition = {}, ...rule }) {
	const [low, high] = condition.outside ?? [];
	return {
		device: "*",
		enabled: true,
		for_s: 0,
		keep_firing_for_s: 0,
		...rule,
		labels: pairsText(rule.labels),
		annotations: pairsText(rule.annotations),
		webhooks: (rule.webhooks ?? []).join("\n"),
		type: "threshold",
		window_s: 60,
		after_s: 300,
		policy: "alert",
		severity: "warning",
		...condition,
		low,
		high,
		levels: (condition.levels ?? [FIRST_LEVEL]).map((level) =>
			({ severity: level.severity, side: sideOf(level), limit: level[sideOf(level)], clear: level.clear })),
	};
}

/** Throws where a line is no pair. */
export function ruleOf({ name, device, metric, labels, enabled, type, annotations, webhooks, ...draft }) {
	const timed = type !== "absent";
	return {
		name,
		device,
		metric,
		labels: pairsOf(labels),
		enabled,
		condition: { type, ...CONDITIONS[type](draft) },
		for_s: timed ? Number(draft.for_s) : 0,
		keep_firing_for_s: timed ? Number(draft.keep_firing_for_s) : 0,
		annotations: pairsOf(annotations),
		webhooks: linesOf(webhooks),
	};
}

const CONDITIONS = {
	threshold: ({ levels }) => ({ levels: levels.map(levelOf) }),
	rate: ({ levels, window_s: window }) => ({ levels: levels.map(levelOf), window_s: Number(window) }),
	range: ({ low, high, severity }) => ({ outside: [Number(low), Number(high)], severity }),
	absent: ({ after_s: after, severity, policy }) => ({ after_s: Number(after), severity, policy }),
};

const levelOf = ({ severity, side, limit, clear }) =>
	({ severity, [side]: Number(limit), clear: (clear ?? "") === "" ? null : Number(clear) });

const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** Pairs as lines of name=value; as JSON where they would not be read back from these. */
function pairsText(pairs = {}) {
	const text = Object.entries(pairs).map((pair) => pair.join("=")).join("\n");
	const json = JSON.stringify(pairs);
	return linesOf(text).every(isPair) && JSON.stringify(pairsOf(text)) === json ? text : json;
}

const isPair = (line) => /[^=]=/.test(line);

function pairsOf(text) {
	if (text.startsWith("{")) return JSON.parse(text);
	return Object.fromEntries(linesOf(text).map((line) => {
		if (!isPair(line)) throw new Error(`“${line}” is not of the form name=value.`);
		const [name, ...value] = line.split("=");
		return [name.trim(), value.join("=").trim()];
	}));
}
