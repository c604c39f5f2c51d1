/** What rules say of a series' values: the limits to be drawn, and the bands beyond them. */

import { SEVERITY_RANK } from "../alerts.js";

/** The limits of these series, by value: `{severity, side: "above" | "below", value, rule}`. Of rates there are none. */
export function limitsOf(rules, lines) {
  const limits = rules
    .filter((rule) => rule.enabled && lines.some((line) => watches(rule, line)))
    .flatMap((rule) => levelsOf(rule.condition).map((level) => ({ ...level, rule })));
  return limits.sort((a, b) => a.value - b.value);
}

/** Whether an enabled or a disabled rule is about a series; that it is about the device is known. */
export function watches({ metric, labels = {} }, series) {
  const wanted = Object.entries(labels);
  return covers(metric, series.metric) && wanted.every(([name, value]) => series.labels[name] === value);
}

function levelsOf({ type, levels = [], outside, severity }) {
  if (type === "range") {
    return [
      { severity, side: "below", value: outside[0] },
      { severity, side: "above", value: outside[1] },
    ];
  }
  if (type !== "threshold") return [];
  return levels.map(({ severity: own, above, below }) => {
    const upper = above !== null && above !== undefined;
    return { severity: own, side: upper ? "above" : "below", value: upper ? above : below };
  });
}

/** Whether a glob (`*` any characters, `?` one) covers a name. */
function covers(glob, name) {
  const parts = { "*": ".*", "?": "." };
  const pattern = glob.replace(/[\\^$.*+?()[\]{}|/]/g, (char) => parts[char] ?? `\\${char}`);
  return new RegExp(`^${pattern}$`, "su").test(name);
}

/** The bands beyond limits: `{severity, from, to}`, of every value the worst severity that holds there. */
export function bandsOf(limits) {
  const above = limits.filter(({ side }) => side === "above");
  const below = limits.filter(({ side }) => side === "below").reverse();
  return [...onOneSide(above, Infinity), ...onOneSide(below, -Infinity)];
}

function onOneSide(limits, end) {
  let worst = null;
  return limits.map(({ severity, value }, place) => {
    worst = SEVERITY_RANK[severity] > (SEVERITY_RANK[worst] ?? 0) ? severity : worst;
    const to = limits[place + 1]?.value ?? end;
    return { severity: worst, from: Math.min(value, to), to: Math.max(value, to) };
  });
}
