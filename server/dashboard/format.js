/** How values, ages and moments read. Moments are in the viewer's zone, with UTC in the title. */

import { setAttribute, setText } from "./dom.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const MOMENT = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const SMALL = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const PLAIN = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const LARGE = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const HUGE = new Intl.NumberFormat(undefined, { notation: "scientific", maximumFractionDigits: 3 });

export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A value as precise as an eye needs it; the exact one belongs into a title. */
export function formatValue(value) {
  const size = Math.abs(value);
  if (size >= 1e9 || (size > 0 && size < 1e-4)) return HUGE.format(value);
  if (size < 1) return SMALL.format(value);
  return (size < 10_000 ? PLAIN : LARGE).format(value);
}

/** A length of time in its largest unit: "4 s", "12 min", "3 h", "5 d". */
export function formatDuration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3_600) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** A moment as a title shows it: "2026-11-20 10:00:00.123 UTC". */
export const formatUtc = (iso) => `${iso.replace("T", " ").replace(/Z$/, "")} UTC`;

export const formatLabels = (labels) => Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`).join(", ");

function show(element, text, iso) {
  setText(element, text);
  setAttribute(element, "datetime", iso);
  setAttribute(element, "title", formatUtc(iso));
}

/** Show a moment: the time of day, with the day where that is not today. */
export function showMoment(element, iso) {
  const moment = new Date(iso);
  const today = moment.toDateString() === new Date().toDateString();
  show(element, (today ? CLOCK : MOMENT).format(moment), iso);
}

/** Show how long ago that was. */
export const showAge = (element, iso, now) => show(element, formatDuration(now - Date.parse(iso)), iso);

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export const formatCount = (count) => LARGE.format(count);

/** A size: "0 B", "12.3 MiB". */
export function formatBytes(bytes) {
  const step = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${SMALL.format(bytes / 1_024 ** step)} ${UNITS[step]}`;
}

/** Seconds as people speak of latencies: "0.4 ms", "12 ms", "1.5 s". */
export const formatSeconds = (seconds) =>
  seconds < 1 ? `${SMALL.format(seconds * 1_000)} ms` : `${SMALL.format(seconds)} s`;
