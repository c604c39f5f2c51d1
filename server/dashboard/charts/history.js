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
const FILL_S = { least: 5, most: 60 }; // how often live values are confirmed, the less in long buckets
const SETTLE_MS = 80; // a wheel turns on: only where it stops is worth asking for
const RETRY_S = [2, 5, 10, 15];

/** Gives `seen`, `moved` and `catchUp`; `tell(series, {busy, problem})` is told what becomes of a series. */
export function makeHistory(page, tell) {
  const slots = new Map(); // series → slot
  const waiting = []; // for their turn
  let free = AT_ONCE;
  let settling;
  const bounds = () => page.span.bounds(page.now());

  /** Do what is to be done about a series now. */
  function need(slot) {
    if (page.signal.aborted) return;
    if (!slot.seen) return giveUp(slot);
    const { loaded, series } = slot;
    const [from, to] = bounds();
    const fine = loaded && (series.level === 0 || loaded.bucket === bucketFor(page.span.length, slot.pixels));
    if (!fine || loaded.from > from || loaded.to < to) return ask(slot, "load");
    if (slot.asking?.kind === "load") giveUp(slot); // for a span that nobody sees any more
    if (slot.stale && loaded.open) return ask(slot, "fill");
    if (slot.failures) succeed(slot);
  }

  function tick() {
    const now = page.now();
    for (const slot of slots.values()) {
      const { series, loaded } = slot;
      if (!slot.seen || slot.asking || slot.refused || (slot.failures && now < slot.retryAt)) continue;
      if (loaded && series.level === 0 && series.size > 3 * most(slot)) slot.loaded = null; // buckets show more
      const due = Math.min(FILL_S.most, Math.max(FILL_S.least, series.level / 6));
      if (loaded?.open && series.unsure && now - slot.askedAt >= due) slot.stale = true;
      need(slot);
    }
  }

  function giveUp(slot) {
    slot.stale ||= Boolean(slot.asking);
    slot.asking?.abort();
    slot.asking = null;
  }

  /** One question at a time: a new one ends the one before. */
  async function ask(slot, kind) {
    giveUp(slot);
    const ending = (slot.asking = Object.assign(new AbortController(), { kind }));
    const signal = AbortSignal.any([ending.signal, page.signal]);
    tell(slot.series, { busy: kind === "load", problem: "" });
    if (free > 0) free -= 1;
    else await new Promise((resolve) => waiting.push(resolve));
    try {
      if (signal.aborted) return;
      slot.askedAt = page.now();
      slot.stale = false; // what goes stale from here on is asked for again
      await (kind === "load" ? load : fill)(slot, page.api.within(signal), signal);
    } catch (error) {
      if (signal.aborted) return;
      slot.asking = null;
      return fail(slot, error);
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
    if (signal.aborted) return;
    slot.asking = null;
    succeed(slot);
    if (slot.stale) await need(slot);
  }

  function succeed(slot) {
    Object.assign(slot, { failures: 0, refused: false });
    tell(slot.series, { busy: false, problem: "" });
  }

  function fail(slot, error) {
    if (error.status === undefined) throw error;
    slot.refused = error.status >= 400 && error.status < 500 && error.status !== 429;
    slot.stale = true;
    slot.retryAt = page.now() + Math.max(RETRY_S[slot.failures] ?? RETRY_S.at(-1), error.retryAfterMs / 1_000);
    slot.failures += 1;
    tell(slot.series, { busy: false, problem: slot.refused ? error.message : `${error.message} Trying again.` });
  }

  async function load(slot, api, signal) {
    const { series } = slot;
    const { span, now } = page;
    const [from, to] = bounds();
    const around = span.live ? 0.1 : 0.5; // of it, on both sides: so that it can be moved at once
    const bucket = bucketFor(span.length, slot.pixels);
    const begin = Math.floor((from - around * span.length) / bucket) * bucket;
    const end = span.live ? Infinity : to + around * span.length;
    const { mark } = series;
    const { level, points } = await read(slot, api, begin, end, bucket);
    if (signal.aborted) return;
    series.take(level, points, mark);
    slot.loaded = { from: begin, to: end, bucket, open: end > now() };
    slot.density = points.reduce((sum, { count = 1 }) => sum + count, 0) / (Math.min(end, now()) - begin);
  }

  async function fill(slot, api, signal) {
    const { series, loaded } = slot;
    const { level, mark, known = loaded.from } = series;
    const step = level || 1;
    const begin = Math.max(loaded.from, Math.floor((known - Math.max(OVERLAP_S, step)) / step) * step);
    const points = await (level ? buckets(slot, api, begin, loaded.to, level) : readings(slot, api, begin, loaded.to));
    if (signal.aborted) return;
    if (!points) return load(slot, api, signal); // there are too many by now
    const keep = page.span.live ? bounds()[0] - page.span.length / 10 : -Infinity;
    series.take(level, points, mark, begin, keep);
    loaded.from = Math.max(loaded.from, keep);
  }

  /** `{level, points}`: readings where the pixels can show them, else buckets, the finest that are still there. */
  async function read(slot, api, from, to, bucket) {
    const { length } = page.span;
    const old = to < page.now() - DAY_S;
    if (length <= READINGS_UP_TO_S && slot.density * length <= 3 * most(slot)) {
      const points = await readings(slot, api, from, to);
      if (points && (points.length || !old)) return { level: 0, points };
    }
    for (let level = bucket; ; level = coarserThan(level)) {
      const points = await buckets(slot, api, from, to, level);
      if (points.length || !old || !coarserThan(level)) return { level, points };
    }
  }

  /** The readings as points; null where there are more than the pixels can show. */
  async function readings(slot, api, from, to) {
    const limit = 2 * most(slot); // as much lies on both sides of what is seen
    const { items, next } = await api.get("/v1/readings", { ...question(slot, from, to), limit });
    return next ? null : items.map(({ ts, value }) => ({ ts: moment(ts), avg: value }));
  }

  async function buckets(slot, api, from, to, level) {
    const told = await api.get("/v1/series", { ...question(slot, from, to), bucket_s: level, agg: "avg,min,max,count" });
    return told.buckets.map((bucket) => ({ ...bucket, ts: moment(bucket.ts) }));
  }

  function question({ series }, from, to) {
    const end = Math.min(to, page.now() + AHEAD_S); // said, as readings may be ahead of the server's clock
    return { ...selection(page.device, series), from: iso(from), to: iso(Math.max(from, end)) };
  }

  page.clock.tick(tick, page.signal);
  return {
    /** Whether a series is within sight, and on how many pixels it is drawn. */
    seen(series, seen, pixels) {
      const slot = slots.get(series) ?? { series, loaded: null, asking: null, stale: false, failures: 0, density: 0 };
      slots.set(series, Object.assign(slot, { seen, pixels: Math.max(100, pixels) }));
      need(slot);
    },
    /** Another span is seen. What was asked for another one is given up, once it is clear which one is meant. */
    moved() {
      clearTimeout(settling);
      settling = setTimeout(() => slots.forEach(need), SETTLE_MS);
    },
    /** Live values may have been missed: load what came since. Resolves when what is within sight is whole again. */
    catchUp() {
      slots.forEach((slot) => (slot.stale = true));
      return Promise.all([...slots.values()].map(need));
    },
  };
}

export function selection(device, { metric, labels }) {
  const pairs = Object.entries(labels).map(([name, value]) => [`labels.${name}`, value]);
  return { device, metric, exact: true, ...Object.fromEntries(pairs) };
}

const most = ({ pixels }) => Math.min(4_000, Math.round(READINGS_A_PIXEL * pixels));
