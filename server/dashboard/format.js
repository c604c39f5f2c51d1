/** How values, ages and moments read. Moments are in the viewer's zone, with UTC in the title. */

export const numbers = (options) => new Intl.NumberFormat(undefined, options).format;
export const times = (options) => new Intl.DateTimeFormat(undefined, { hourCycle: "h23", ...options });

const TIME = times({ timeStyle: "medium" });
const DAY_AND_TIME = times({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const small = numbers({ maximumSignificantDigits: 3 });
const plain = numbers({ maximumFractionDigits: 2 });
const huge = numbers({ notation: "scientific", maximumFractionDigits: 3 });
const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

export const ZONE = TIME.resolvedOptions().timeZone;

export const formatCount = numbers({ maximumFractionDigits: 0 });

/** A value as precise as an eye needs it; the exact one belongs into a title. */
export function formatValue(value) {
	const size = Math.abs(value);
	if (size >= 1e9 || (size > 0 && size < 1e-4)) return huge(value);
	if (size < 1) return small(value);
	return (size < 10_000 ? plain : formatCount)(value);
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

/** A moment: the time of day, with the day where that is not today. */
export function formatMoment(iso) {
	const moment = new Date(iso);
	return (moment.toDateString() === new Date().toDateString() ? TIME : DAY_AND_TIME).format(moment);
}

export const formatLabels = (labels) => Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`).join(", ");

/** A size: "0 B", "12.3 MiB". */
export function formatBytes(bytes) {
	const step = bytes < 1 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log2(bytes) / 10));
	return `${small(bytes / 1_024 ** step)} ${SIZES[step]}`;
}

/** Seconds as people speak of latencies: "0.4 ms", "12 ms", "1.5 s". */
export const formatSeconds = (seconds) => (seconds < 1 ? `${small(seconds * 1_000)} ms` : `${small(seconds)} s`);
