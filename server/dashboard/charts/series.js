/**
 * One series as it is drawn: history as it was loaded (readings, or buckets), and behind it the live tail.
 *
 * Live values are conflated: of several that come at once only the newest is told. So the tail is a first look, and
 * history, asked for again from where it ends, takes its place: what was drawn of the tail is then either in the answer,
 * or had not been stored when it was asked for. So each reading is there once, whatever came first.
 */

import { moment } from "./span.js";

const MOST_TAIL = 2_000; // values; what is dropped comes again with history
const SILENCE = 3; // so many usual steps without a value are a gap …
const SILENCE_BUCKETS = 1.5; // … of buckets that hold several readings each, one that is missing
const SEVERAL = 3;

/** What tells a series from the others of its device. */
export const keyOf = (metric, labels = {}) => JSON.stringify([metric, Object.entries(labels).sort()]);

export class Series {
  #tail = []; // {serial, ts, value}, ascending
  #points = []; // {ts, avg, min, max, count} of buckets, {ts, avg} of readings, ascending
  #drawn = null;

  /** Seconds of its buckets; 0: readings; null: nothing was loaded yet. */
  level = null;
  newest = null;
  /** How many have come live so far: the answer to a question that is asked now holds all of those. */
  mark = 0;

  constructor(metric, labels = {}) {
    this.metric = metric;
    this.labels = labels;
  }

  get unsure() {
    return this.#tail.length > 0;
  }

  /** Up to where history is known; undefined where nothing was loaded. */
  get known() {
    return this.#points.at(-1)?.ts;
  }

  get size() {
    return this.#points.length + this.#tail.length;
  }

  know(ts, value) {
    if (!(this.newest?.ts >= ts)) this.newest = { ts, value };
  }

  /** Take a live value; one that is not newer than those here is known already. */
  live(text, value) {
    const ts = moment(text);
    this.know(ts, value);
    if (ts <= (this.#tail.at(-1)?.ts ?? (this.level === 0 ? this.known : undefined))) return;
    this.#tail.push({ serial: ++this.mark, ts, value });
    if (this.#tail.length > MOST_TAIL) this.#tail.splice(0, MOST_TAIL / 2);
    this.#drawn = null;
  }

  /** Replace everything since `from` by what was asked for at `mark`, and forget what lies before `keep`. */
  take(level, points, mark, from = -Infinity, keep = -Infinity) {
    this.level = level;
    this.#points = this.#points.filter(({ ts }) => ts < from && ts >= keep).concat(points);
    const last = this.#points.at(-1);
    const read = level === 0 && last ? last.ts : -Infinity;
    this.#tail = this.#tail.filter(({ serial, ts }) => serial > mark && ts > read);
    if (level === 0 && last) this.know(last.ts, last.avg);
    this.#drawn = null;
  }

  /** Everything as points, ascending: of buckets, the tail is folded into them. */
  points() {
    if (!this.level) return this.#points.concat(this.#tail.map(({ ts, value }) => ({ ts, avg: value })));
    const points = this.#points.slice();
    for (const { ts, value } of this.#tail) {
      const start = Math.floor(ts / this.level) * this.level;
      const last = points.at(-1);
      if (last?.ts > start) continue; // late: history will say
      const { avg, min, max, count } = last?.ts === start ? points.pop() : { avg: 0, min: value, max: value, count: 0 };
      const mean = avg + (value - avg) / (count + 1);
      points.push({ ts: start, avg: mean, min: Math.min(min, value), max: Math.max(max, value), count: count + 1 });
    }
    return points;
  }

  /** Columns to be drawn: a null is a gap, `lone` the places of points without neighbours, `steps` those of a switch. */
  columns() {
    return (this.#drawn ??= this.#draw(this.points()));
  }

  #draw(points) {
    const steps = !this.level && points.length > 0 && points.every(({ avg }) => avg === 0 || avg === 1);
    const drawn = { x: [], y: [], low: [], high: [], lone: [], steps };
    const put = (x, { avg = null, min = null, max = null }) => {
      drawn.x.push(x);
      drawn.y.push(avg);
      drawn.low.push(min);
      drawn.high.push(max);
    };
    const silence = silenceOf(points, this.level ?? 0);
    const half = (this.level ?? 0) / 2;
    let alone = false;
    for (const [place, point] of points.entries()) {
      const before = points[place - 1]?.ts;
      const gap = point.ts - before > silence;
      if (gap && alone) drawn.lone.push(drawn.x.length - 1);
      if (gap) put(half + (before + point.ts) / 2, {});
      alone = gap || place === 0;
      const now = half && place === points.length - 1 && this.newest?.ts >= point.ts; // the last bucket is not over
      put(now ? Math.min(point.ts + half, this.newest.ts) : point.ts + half, point);
    }
    if (alone) drawn.lone.push(drawn.x.length - 1);
    return drawn;
  }
}

/** How long nothing may come before that is a gap, in seconds: by what is usual here. */
function silenceOf(points, level) {
  if (points.length < 3) return level ? level * SILENCE_BUCKETS : Infinity;
  const dense = level && middle(points.map(({ count }) => count)) >= SEVERAL;
  const usual = middle(points.slice(1).map(({ ts }, place) => ts - points[place].ts));
  return Math.max(level, usual) * (dense ? SILENCE_BUCKETS : SILENCE);
}

const middle = (numbers) => Float64Array.from(numbers).sort()[numbers.length >> 1];
