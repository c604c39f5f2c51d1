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

export const counted = (count, noun) => `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;

export function formatValue(value) {
	const size = Math.abs(value);
	if (size >= 1e9 || (size > 0 && size < 1e-4)) return huge(value);
	if (size < 1) return small(value);
	return (size < 10_000 ? plain : formatCount)(value);
}

/** "4 s", "12 min", "3 h", "5 d". */
export function formatDuration(ms) {
	const seconds = Math.max(0, Math.floor(ms / 1_000));
	if (seconds < 60) return `${seconds} s`;
	if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
	if (seconds < 48 * 3_600) return `${Math.floor(seconds / 3_600)} h`;
	return `${Math.floor(seconds / 86_400)} d`;
}

/** "2026-11-20 10:00:00.123 UTC". */
export const formatUtc = (iso) => `${iso.replace("T", " ").replace(/Z$/, "")} UTC`;

export function formatMoment(iso) {
	const moment = new Date(iso);
	return (moment.toDateString() === new Date().toDateString() ? TIME : DAY_AND_TIME).format(moment);
}

export const formatLabels = (labels) => Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`).join(", ");

/** "0 B", "12.3 MiB". */
export function formatBytes(bytes) {
	const step = bytes < 1 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log2(bytes) / 10));
	return `${small(bytes / 1_024 ** step)} ${SIZES[step]}`;
}

/** "0.4 ms", "1.5 s". */
export const formatSeconds = (seconds) => (seconds < 1 ? `${small(seconds * 1_000)} ms` : `${small(seconds)} s`);
