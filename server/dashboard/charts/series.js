/**
 * One series as it is drawn: history as it was loaded (readings, or buckets), and behind it the live tail.
 *
 * Live values are conflated: of several that come at once only the newest is told. So the tail is a first look, and
 * history, asked for again from where it ends, takes its place (`merge`): what was drawn of the tail is then either in
 * the answer, or had not been stored when it was asked for. So each reading is there once, whatever came first.
 */

import { moment } from "./span.js";

const MOST_TAIL = 2_000; // values; what is dropped comes again with history
const SILENCE = 3; // so many usual steps without a value are a gap …
const SILENCE_BUCKETS = 1.5; // … of buckets that hold several readings each, one that is missing
const SEVERAL = 3;

/** What tells a series from the others of its device. */
export function keyOf(metric, labels = {}) {
  return JSON.stringify([metric, Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

export class Series {
  #serial = 0; // counts what came live
  #tail = []; // {serial, ts, value}, ascending
  #points = []; // {ts, avg, min, max, count} of buckets, {ts, avg} of readings, ascending
  #drawn = null;

  /** Seconds of its buckets; 0: readings; null: nothing was loaded yet. */
  level = null;
  /** The newest value: `{ts, value}`, or null. */
  newest = null;

  constructor(metric, labels = {}) {
    this.metric = metric;
    this.labels = labels;
    this.key = keyOf(metric, labels);
  }

  /** What has come live so far: the answer to a question that is asked now holds all of that. */
  get mark() {
    return this.#serial;
  }

  /** Whether there are live values that history has not confirmed. */
  get unsure() {
    return this.#tail.length > 0;
  }

  /** Up to where history is known; null where nothing was loaded. */
  get known() {
    return this.#points.at(-1)?.ts ?? null;
  }

  /** How many points there are. */
  get size() {
    return this.#points.length + this.#tail.length;
  }

  /** Learn of a value that is stored, which is no point yet. */
  know(ts, value) {
    if (!(this.newest?.ts >= ts)) this.newest = { ts, value };
  }

  /** Take a live value; one that is not newer than those here is known already. */
  live(text, value) {
    const ts = moment(text);
    this.know(ts, value);
    const last = this.#tail.at(-1)?.ts ?? (this.level === 0 ? this.known : null);
    if (last !== null && ts <= last) return;
    this.#tail.push({ serial: ++this.#serial, ts, value });
    if (this.#tail.length > MOST_TAIL) this.#tail.splice(0, MOST_TAIL / 2);
    this.#drawn = null;
  }

  /** Replace everything by what was loaded; `mark` is what it was when that was asked for. */
  replace(level, points, mark) {
    this.level = level;
    this.#points = points;
    this.#settle(mark);
  }

  /** Replace everything since `from` by what was loaded, and forget what lies before `keep`. */
  merge(from, points, mark, keep = -Infinity) {
    this.#points = this.#points.filter(({ ts }) => ts < from && ts >= keep).concat(points);
    this.#settle(mark);
  }

  #settle(mark) {
    const last = this.level === 0 ? (this.known ?? -Infinity) : -Infinity;
    this.#tail = this.#tail.filter(({ serial, ts }) => serial > mark && ts > last);
    const point = this.#points.at(-1);
    if (this.level === 0 && point) this.know(point.ts, point.avg);
    this.#drawn = null;
  }

  /** Everything as points, ascending: of buckets, the tail is folded into them. */
  points() {
    if (!this.#tail.length) return this.#points;
    if (!this.level) return this.#points.concat(this.#tail.map(({ ts, value }) => ({ ts, avg: value })));
    const points = this.#points.slice();
    for (const { ts, value } of this.#tail) {
      const start = Math.floor(ts / this.level) * this.level;
      const last = points.at(-1);
      if (last && last.ts > start) continue; // late: history will say
      if (last?.ts === start) points[points.length - 1] = folded(last, value);
      else points.push({ ts: start, avg: value, min: value, max: value, count: 1 });
    }
    return points;
  }

  /**
   * Columns to be drawn: `{x, y, low, high, lone, steps}`; a null is a gap, `lone` the places of points without
   * neighbours, `steps` says that they are readings of a switch. Buckets are drawn at their middle.
   */
  columns() {
    return (this.#drawn ??= this.#draw(this.points()));
  }

  #draw(points) {
    const drawn = { x: [], y: [], low: [], high: [], lone: [], steps: false };
    drawn.steps = !this.level && points.length > 0 && points.every(({ avg }) => avg === 0 || avg === 1);
    const silence = silenceOf(points, this.level ?? 0);
    const half = (this.level ?? 0) / 2;
    let alone = true;
    for (const [place, { ts, avg, min, max }] of points.entries()) {
      const before = points[place - 1];
      const gap = before !== undefined && ts - before.ts > silence;
      if (gap) {
        if (alone) drawn.lone.push(drawn.x.length - 1);
        put(drawn, before.ts + half + (ts - before.ts) / 2, null, null, null);
      }
      alone = gap || before === undefined;
      const last = half && place === points.length - 1 && this.newest?.ts >= ts;
      put(drawn, last ? Math.min(ts + half, this.newest.ts) : ts + half, avg, min, max);
    }
    if (points.length && alone) drawn.lone.push(drawn.x.length - 1);
    return drawn;
  }
}

function put(drawn, x, y, low, high) {
  drawn.x.push(x);
  drawn.y.push(y);
  drawn.low.push(low);
  drawn.high.push(high);
}

function folded({ ts, avg, min, max, count }, value) {
  const all = count + 1;
  return { ts, avg: avg + (value - avg) / all, min: Math.min(min, value), max: Math.max(max, value), count: all };
}

/** How long nothing may come before that is a gap, in seconds: by what is usual here. */
function silenceOf(points, level) {
  if (points.length < 3) return level ? level * SILENCE_BUCKETS : Infinity;
  const dense = level && middle(points.map(({ count }) => count)) >= SEVERAL;
  const usual = middle(points.slice(1).map(({ ts }, place) => ts - points[place].ts));
  return Math.max(level, usual) * (dense ? SILENCE_BUCKETS : SILENCE);
}

function middle(numbers) {
  return Float64Array.from(numbers).sort()[numbers.length >> 1];
}
