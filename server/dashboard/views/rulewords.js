/** A rule in words, and as text that can be edited: pairs as lines, durations with their unit. */

import { formatValue } from "../format.js";

const SYMBOLS = { above: ">", below: "<" };
const UNITS = { s: 1, min: 60, h: 3_600, d: 86_400 };

/** What a condition fires on: "> 70 warning, > 80 critical". */
export function wordsOf({ type, levels, outside, severity, after_s: after, window_s: window }) {
  if (type === "range") return `outside ${formatValue(outside[0])} … ${formatValue(outside[1])}: ${severity}`;
  if (type === "absent") return `silent for ${durationText(after)}: ${severity}`;
  const each = levels.map((level) => {
    const side = level.above === null || level.above === undefined ? "below" : "above";
    return `${SYMBOLS[side]} ${formatValue(level[side])} ${level.severity}`;
  });
  return `${type === "rate" ? `change per second over ${durationText(window)} ` : ""}${each.join(", ")}`;
}

/** The worst severity that a condition can have. */
export function worstOf({ severity, levels = [] }) {
  const all = [severity, ...levels.map((level) => level.severity)];
  return ["critical", "warning", "info"].find((name) => all.includes(name)) ?? "info";
}

/** Seconds as people write them: "90 s", "5 min". */
export function durationText(seconds) {
  const unit = ["d", "h", "min"].find((name) => seconds >= UNITS[name] && seconds % UNITS[name] === 0) ?? "s";
  return `${seconds / UNITS[unit]} ${unit}`;
}

/** What was written back to seconds; a bare number is seconds. Throws where it is neither. */
export function secondsOf(text, name) {
  const found = /^\s*([\d.]+)\s*(s|min|h|d)?\s*$/u.exec(text || "0");
  const seconds = found ? Number(found[1]) * UNITS[found[2] ?? "s"] : NaN;
  if (!Number.isFinite(seconds)) throw new Error(`${name}: write a number and a unit, such as “90 s” or “5 min”.`);
  return seconds;
}

/** A number that has to be there. */
export function numberOf(text, name) {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) throw new Error(`${name}: a number is missing.`);
  return value;
}

/** Pairs as lines "name=value". */
export const pairsText = (pairs) => Object.entries(pairs ?? {}).map(([name, value]) => `${name}=${value}`).join("\n");

/** And back. */
export function pairsOf(text, name) {
  const pairs = linesOf(text).map((line) => {
    const at = line.indexOf("=");
    if (at < 1) throw new Error(`${name}: “${line}” is not of the form name=value.`);
    return [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  });
  return Object.fromEntries(pairs);
}

/** The lines that say something. */
export const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
