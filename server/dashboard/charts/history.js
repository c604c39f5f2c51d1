/**
 * What is loaded of the series of a device: for the span that is seen, as finely as the pixels show, only for charts
 * within sight, a few requests at a time; and again from where it ends, while live values come and after they were lost.
 */

import { bucketFor, coarserThan, iso, moment } from "./span.js";

const AT_ONCE = 4; // requests: a worker reads as many for all of its viewers
const READINGS_A_PIXEL = 2; // more are buckets
const READINGS_UP_TO_S = 21_600; // of a longer span the first question is for buckets
const DAY_S = 86_400;
const AHEAD_S = 660; // readings may be so far ahead of the server's clock
const OVERLAP_S = 10; // asked for twice, for readings that were stored out of order
const FILL_S = 5; // how often live values are confirmed …
const FILL_MOST_S = 60; // … and in long buckets
const SETTLE_MS = 80; // a wheel turns on: only where it stops is worth asking for
const RETRY_S = [2, 5, 10, 15];

export class History {
  #api;
  #device;
  #clock;
  #tell;
  #signal;
  #slots = new Map(); // series → slot
  #turns = new Turns(AT_ONCE);
  #span;
  #settling; // the timer of that

  /**
   * @param {{changed: Function, state: Function}} tell `changed(series)`, and `state(series, {busy, problem})`
   */
  constructor(api, device, clock, span, tell, signal) {
    this.#api = api;
    this.#device = device;
    this.#clock = clock;
    this.#span = span;
    this.#tell = tell;
    this.#signal = signal;
    clock.tick(() => this.#tick(), signal);
  }

  /** Whether a series is within sight, and on how many pixels it is drawn. */
  seen(series, seen, pixels) {
    const slot = this.#slots.get(series) ?? { series, loaded: null, asking: null, stale: false, failures: 0, density: 0 };
    this.#slots.set(series, Object.assign(slot, { seen, pixels: Math.max(100, pixels) }));
    this.#need(slot);
  }

  /** Another span is seen. What was asked for another one is given up, once it is clear which one is meant. */
  show(span) {
    this.#span = span;
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => this.#slots.forEach((slot) => this.#need(slot)), SETTLE_MS);
  }

  /** Live values may have been missed: load what came since. Resolves when what is within sight is whole again. */
  async catchUp() {
    for (const slot of this.#slots.values()) slot.stale = true;
    await Promise.all([...this.#slots.values()].map((slot) => this.#need(slot)));
  }

  get #now() {
    return this.#clock.now() / 1_000;
  }

  /** Do what is to be done about a series now. */
  #need(slot) {
    if (this.#signal.aborted) return;
    if (!slot.seen) return this.#giveUp(slot);
    const { loaded } = slot;
    const [from, to] = this.#span.bounds(this.#now);
    const fine = loaded && (slot.series.level === 0 || loaded.bucket === bucketFor(this.#span.length, slot.pixels));
    if (!fine || loaded.from > from || loaded.to < to) return this.#ask(slot, "load");
    if (slot.asking?.kind === "load") this.#giveUp(slot); // for a span that nobody sees any more
    if (slot.stale && loaded.open) return this.#ask(slot, "fill");
    if (slot.failures) this.#well(slot);
  }

  #tick() {
    for (const slot of this.#slots.values()) {
      const { series, loaded } = slot;
      if (!slot.seen || slot.asking || slot.refused || (slot.failures && this.#now < slot.retryAt)) continue;
      if (loaded && series.level === 0 && series.size > 3 * most(slot)) slot.loaded = null; // buckets show more
      if (loaded?.open && series.unsure && this.#now - slot.askedAt >= fillEvery(series.level)) slot.stale = true;
      this.#need(slot);
    }
  }

  #giveUp(slot) {
    slot.stale ||= Boolean(slot.asking);
    slot.asking?.abort();
    slot.asking = null;
  }

  /** One question at a time: a new one ends the one before. */
  async #ask(slot, kind) {
    this.#giveUp(slot);
    const ending = (slot.asking = Object.assign(new AbortController(), { kind }));
    const signal = AbortSignal.any([ending.signal, this.#signal]);
    this.#tell.state(slot.series, { busy: kind === "load", problem: "" });
    try {
      await this.#turns.take(signal, () => {
        slot.askedAt = this.#now;
        slot.stale = false; // what goes stale from here on is asked for again
        slot.api = this.#api.within(signal);
        return kind === "load" ? this.#load(slot, signal) : this.#fill(slot, signal);
      });
      if (signal.aborted) return;
      slot.asking = null;
      this.#well(slot);
      this.#tell.changed(slot.series);
      if (slot.stale) await this.#need(slot);
    } catch (error) {
      if (signal.aborted) return;
      slot.asking = null;
      this.#fail(slot, error);
    }
  }

  #well(slot) {
    Object.assign(slot, { failures: 0, refused: false });
    this.#tell.state(slot.series, { busy: false, problem: "" });
  }

  #fail(slot, error) {
    if (error.status === undefined) throw error;
    slot.refused = error.status >= 400 && error.status < 500 && error.status !== 429;
    slot.stale = true;
    const pause = RETRY_S[Math.min(slot.failures, RETRY_S.length - 1)];
    slot.failures += 1;
    slot.retryAt = this.#now + Math.max(pause, error.retryAfterMs / 1_000);
    const problem = slot.refused ? error.message : `${error.message} Trying again.`;
    this.#tell.state(slot.series, { busy: false, problem });
  }

  async #load(slot, signal) {
    const { series } = slot;
    const span = this.#span;
    const [from, to] = span.bounds(this.#now);
    const around = span.live ? 0.1 : 0.5; // of it, on both sides: so that it can be moved at once
    const bucket = bucketFor(span.length, slot.pixels);
    const begin = Math.floor((from - around * span.length) / bucket) * bucket;
    const end = span.live ? Infinity : to + around * span.length;
    const mark = series.mark;
    const { level, points } = await this.#read(slot, begin, end, bucket);
    if (signal.aborted) return;
    series.replace(level, points, mark);
    slot.loaded = { from: begin, to: end, bucket, open: end > this.#now };
    const held = points.reduce((sum, { count = 1 }) => sum + count, 0);
    slot.density = held / (Math.min(end, this.#now) - begin);
  }

  async #fill(slot, signal) {
    const { series, loaded } = slot;
    const step = series.level || 1;
    const known = series.known ?? loaded.from;
    const begin = Math.max(loaded.from, Math.floor((known - Math.max(OVERLAP_S, step)) / step) * step);
    const mark = series.mark;
    const points = series.level
      ? await this.#buckets(slot, begin, loaded.to, series.level)
      : await this.#readings(slot, begin, loaded.to);
    if (signal.aborted) return;
    if (!points) return this.#load(slot, signal); // there are too many by now
    const keep = this.#span.live ? this.#span.bounds(this.#now)[0] - this.#span.length / 10 : -Infinity;
    series.merge(begin, points, mark, keep);
    loaded.from = Math.max(loaded.from, keep);
  }

  /** `{level, points}`: readings where the pixels can show them, else buckets, the finest that are still there. */
  async #read(slot, from, to, bucket) {
    const length = this.#span.length;
    const old = to < this.#now - DAY_S;
    if (length <= READINGS_UP_TO_S && slot.density * length <= 3 * most(slot)) {
      const points = await this.#readings(slot, from, to);
      if (points && (points.length || !old)) return { level: 0, points };
    }
    for (let level = bucket; ; level = coarserThan(level)) {
      const points = await this.#buckets(slot, from, to, level);
      if (points.length || !old || !coarserThan(level)) return { level, points };
    }
  }

  /** The readings as points; null where there are more than the pixels can show. */
  async #readings(slot, from, to) {
    const limit = 2 * most(slot); // as much lies on both sides of what is seen
    const { items, next } = await slot.api.get("/v1/readings", { ...this.#query(slot, from, to), limit });
    return next ? null : items.map(({ ts, value }) => ({ ts: moment(ts), avg: value }));
  }

  async #buckets(slot, from, to, level) {
    const query = { ...this.#query(slot, from, to), bucket_s: level, agg: "avg,min,max,count" };
    const { buckets } = await slot.api.get("/v1/series", query);
    return buckets.map(({ ts, avg, min, max, count }) => ({ ts: moment(ts), avg, min, max, count }));
  }

  #query({ series }, from, to) {
    const end = Math.min(to, this.#now + AHEAD_S); // said, as readings may be ahead of the server's clock
    return { ...selection(this.#device, series), from: iso(from), to: iso(Math.max(from, end)) };
  }
}

/** The part of a query that names one series. */
export function selection(device, { metric, labels }) {
  const pairs = Object.entries(labels).map(([name, value]) => [`labels.${name}`, value]);
  return { device, metric, exact: true, ...Object.fromEntries(pairs) };
}

const most = ({ pixels }) => Math.min(4_000, Math.round(READINGS_A_PIXEL * pixels));

const fillEvery = (level) => Math.min(FILL_MOST_S, Math.max(FILL_S, level / 6));

/** So many at a time, the others in their order. */
class Turns {
  #free;
  #waiting = [];

  constructor(free) {
    this.#free = free;
  }

  async take(signal, work) {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    try {
      return signal.aborted ? undefined : await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}
