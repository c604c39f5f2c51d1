/** Which time is seen: a length that ends now and moves along with it, or a fixed part. Seconds since 1970, everywhere. */

/** What is offered: seconds, and how it is written. */
export const SPANS = [
  [900, "15 min"],
  [3_600, "1 h"],
  [21_600, "6 h"],
  [86_400, "24 h"],
  [604_800, "7 d"],
  [2_592_000, "30 d"],
];
const FIRST_S = 900;
const SHORTEST_S = 2;
const LONGEST_S = 800 * 86_400;
const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 };
const MARGIN = 0.01; // of a live span, kept free at its right: what is newest is seen whole

/** Lengths of buckets; those from a minute on divide one another, and are what rollups hold ready. */
const BUCKETS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800];
const PIXELS_A_BUCKET = 1.5;
/** What rollups hold longer than readings: asked for where nothing finer is left. */
const KEPT_S = [60, 3_600, 86_400];

export class Span {
  /** @param {number} length in seconds  @param {?number} to where it ends; null: now, and live */
  constructor(length = FIRST_S, to = null) {
    this.length = Math.min(LONGEST_S, Math.max(SHORTEST_S, length));
    this.to = to;
  }

  /** What a hash's query says: `span=6h`, or `from` and `to`. Nonsense is the first span, live. */
  static of(query) {
    const from = moment(query.get("from"));
    const to = moment(query.get("to"));
    if (to > from) return Span.between(from, to);
    const [, digits, unit] = /^(\d{1,9})([smhd])$/.exec(query.get("span") ?? "") ?? [];
    return new Span(digits ? digits * UNITS[unit] : FIRST_S);
  }

  static between(from, to) {
    return new Span(to - from, Math.max(to, from + SHORTEST_S));
  }

  /** Whether it ends now. */
  get live() {
    return this.to === null;
  }

  /** `[from, to]` at this moment. */
  bounds(now) {
    const to = this.to ?? now + this.length * MARGIN;
    return [to - this.length, to];
  }

  /** The same, as a hash's query says it. */
  write(query) {
    for (const name of ["span", "from", "to"]) query.delete(name);
    if (this.live) {
      const [unit, size] = Object.entries(UNITS).findLast(([, seconds]) => this.length % seconds === 0) ?? ["s", 1];
      query.set("span", `${Math.round(this.length / size)}${unit}`);
    } else {
      for (const [name, seconds] of [["from", this.to - this.length], ["to", this.to]]) query.set(name, iso(seconds));
    }
  }

  /** Longer (`factor` > 1) or shorter, around a moment that stays where it is seen. A live one stays live. */
  zoomed(factor, around, now) {
    if (this.live) return new Span(Math.round(this.length * factor));
    const [from, to] = this.bounds(now);
    const at = around ?? (from + to) / 2;
    const length = new Span(this.length * factor).length; // within its limits
    return Span.between(at - ((at - from) * length) / this.length, at + ((to - at) * length) / this.length);
  }

  /** Earlier (`share` < 0) or later by a share of itself; what would end after now is live. */
  moved(share, now) {
    const to = this.bounds(now)[1] + share * this.length;
    return new Span(this.length, to >= now + this.length * MARGIN ? null : to);
  }
}

/** The length of buckets, in seconds, that suits a span which is seen on so many pixels. */
export function bucketFor(length, pixels) {
  const wanted = (length * PIXELS_A_BUCKET) / Math.max(100, pixels);
  return BUCKETS_S.find((seconds) => seconds >= wanted) ?? BUCKETS_S.at(-1);
}

/** The next longer buckets that may still be there where those (or the readings: 0) have expired; undefined: none. */
export function coarserThan(level) {
  return KEPT_S.find((seconds) => seconds > level);
}

/** A moment as addresses and queries carry it. */
export function iso(seconds) {
  return new Date(Math.round(seconds * 1_000)).toISOString();
}

/** RFC 3339 as seconds, to the microsecond, which a double of this size just holds; NaN for what is none. */
export function moment(text) {
  const ms = Date.parse(text ?? "");
  const micros = /\.\d{3}(\d{3})/.exec(text ?? "")?.[1] ?? 0; // a Date ends at milliseconds
  return (ms * 1_000 + Number(micros)) / 1e6;
}
