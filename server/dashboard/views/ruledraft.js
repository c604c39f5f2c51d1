/** A rule as texts that can be edited, and read back into a rule. Pure. */

import { durationText, linesOf, numberOf, pairsOf, pairsText, secondsOf, sideOf } from "./rulewords.js";

const FIRST_LEVEL = { severity: "warning", above: 70, clear: 65 };

export function draftOf({ condition = { type: "threshold" }, ...rule }) {
	const { levels, outside: [low, high] = [] } = condition;
	const text = (value) => String(value ?? "");
	return {
		name: text(rule.name),
		device: rule.device ?? "*",
		metric: text(rule.metric),
		labels: pairsText(rule.labels),
		enabled: rule.enabled ?? true,
		kind: condition.type,
		levels: (levels ?? [FIRST_LEVEL]).map((level) =>
			({ severity: level.severity, side: sideOf(level), limit: text(level[sideOf(level)]), clear: text(level.clear) })),
		window: durationText(condition.window_s ?? 60),
		low: text(low),
		high: text(high),
		after: durationText(condition.after_s ?? 300),
		policy: condition.policy ?? "alert",
		severity: condition.severity ?? "warning",
		for: durationText(rule.for_s ?? 0),
		keep: durationText(rule.keep_firing_for_s ?? 0),
		webhooks: (rule.webhooks ?? []).join("\n"),
		annotations: pairsText(rule.annotations),
	};
}

/** The rule that a draft says. Throws an Error that says what is missing. */
export function ruleOf({ name, device, metric, labels, enabled, annotations, webhooks, ...draft }) {
	if (!name.trim()) throw new Error("Name: a rule needs one.");
	if (!metric.trim()) throw new Error("Metric: say what the rule watches, such as temperature, or *.");
	const absent = draft.kind === "absent";
	return {
		name: name.trim(),
		device: device.trim() || "*",
		metric: metric.trim(),
		labels: pairsOf(labels, "Labels"),
		enabled,
		condition: { type: draft.kind, ...CONDITIONS[draft.kind](draft) },
		for_s: absent ? 0 : secondsOf(draft.for, "For at least"),
		keep_firing_for_s: absent ? 0 : secondsOf(draft.keep, "Keeps firing for"),
		annotations: pairsOf(annotations, "Annotations"),
		webhooks: linesOf(webhooks),
	};
}

const CONDITIONS = {
	threshold: ({ levels }) => ({ levels: levels.map(levelOf) }),
	rate: ({ levels, window }) => ({ levels: levels.map(levelOf), window_s: secondsOf(window, "Window") }),
	range: ({ low, high, severity }) => ({ outside: [numberOf(low, "Lowest"), numberOf(high, "Highest")], severity }),
	absent: ({ after, severity, policy }) => ({ after_s: secondsOf(after, "After"), severity, policy }),
};

function levelOf({ severity, side, limit, clear }) {
	const level = { severity, [side]: numberOf(limit, `Limit of ${severity}`) };
	return clear.trim() ? { ...level, clear: numberOf(clear, `Clear of ${severity}`) } : level;
}
