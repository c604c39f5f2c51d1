import { times } from "../format.js";

const FIRST_S = 900;
const SHORTEST_S = 2;
const LONGEST_S = 800 * 86_400;
const MARGIN = 0.01; // kept free at the right of a live span

/** Lengths of buckets; those from a minute on divide one another, and are what rollups hold ready. */
const BUCKETS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800];
const PIXELS_A_BUCKET = 1.5;

/** The time that is seen. In seconds since 1970, as everywhere in charts. */
export class Span {
	/** `to`: where it ends; null: now, moving along. */
	constructor(length = FIRST_S, to = null) {
		this.length = Math.min(LONGEST_S, Math.max(SHORTEST_S, length));
		this.to = to;
	}

	/** What an address says: `span`, or `from` and `to`. Nonsense is the first span, live. */
	static of(query) {
		const [from, to] = ["from", "to"].map((name) => moment(query.get(name)));
		return to > from ? Span.between(from, to) : new Span(Number(query.get("span")) || FIRST_S);
	}

	static between(from, to) {
		return new Span(to - from, Math.max(to, from + SHORTEST_S));
	}

	get live() {
		return this.to === null;
	}

	bounds(now) {
		const to = this.to ?? now + this.length * MARGIN;
		return [to - this.length, to];
	}

	get words() {
		return this.live ? { span: Math.round(this.length) } : { from: iso(this.to - this.length), to: iso(this.to) };
	}

	/** Longer (`factor` > 1) or shorter; what is at `share` (0 left, 1 right) stays there, and a live one stays live. */
	zoomed(factor, share) {
		const { length } = new Span(this.length * factor); // within its limits
		return this.live ? new Span(length) : new Span(length, this.to + (1 - share) * (length - this.length));
	}

	/** Earlier (`share` < 0) or later by a share of itself; what would end after now is live. */
	moved(share, now) {
		const to = this.bounds(now)[1] + share * this.length;
		return new Span(this.length, to >= now + this.length * MARGIN ? null : to);
	}
}

/** How long buckets are, of a span that is seen on so many pixels. */
export function bucketFor(length, pixels) {
	return BUCKETS_S.find((seconds) => seconds >= (length * PIXELS_A_BUCKET) / pixels) ?? BUCKETS_S.at(-1);
}

export const MOMENT = times({ dateStyle: "medium", timeStyle: "medium" });

export const iso = (seconds) => new Date(Math.round(seconds * 1_000)).toISOString();

/** RFC 3339 as seconds, to the microsecond, which a double of this size just holds; NaN for what is none. */
export function moment(text) {
	const micros = /\.\d{3}(\d{3})/.exec(text)?.[1] ?? 0; // a Date ends at milliseconds
	return (Date.parse(text) * 1_000 + Number(micros)) / 1e6;
}
