/** What happened between two samples of `/v1/system`: rates, shares and quantiles. Pure: samples in, numbers out. */

const KEPT = 150; // samples: five minutes of one every two seconds
const WINDOW_MS = 10_000; // over which the large figures are taken

export class Figures {
  #samples = [];

  /** Learn another sample. False where it is no later than the last: another worker may answer from a while ago. */
  add(sample) {
    const taken = { ...sample, ms: Date.parse(sample.at) };
    const last = this.#samples.at(-1);
    if (last && taken.ms <= last.ms) return false;
    if (last && restarted(last, taken)) this.#samples = [];
    this.#samples.push(taken);
    if (this.#samples.length > KEPT) this.#samples.shift();
    return true;
  }

  /** The latest sample. */
  get latest() {
    return this.#samples.at(-1);
  }

  /** How much `read(sample)`, a total, grew a second, lately; null before there are two samples. */
  rate(read) {
    const [from, to] = this.#window();
    return from && growth(from, to, read);
  }

  /** The same between every two samples: `[{ms, value}]`. */
  rates(read) {
    return this.#samples.slice(1).map((to, place) => ({ ms: to.ms, value: growth(this.#samples[place], to, read) }));
  }

  /** What `read(sample)` was in each sample: `[{ms, value}]`. */
  values(read) {
    return this.#samples.map((sample) => ({ ms: sample.ms, value: read(sample) }));
  }

  /** What share `q` of what was observed lately stayed under, seconds; null where nothing was. */
  quantile(read, q) {
    const [from, to] = this.#window();
    return from && between(read(from), read(to), q);
  }

  /** The same between every two samples. */
  quantiles(read, q) {
    const pairs = this.#samples.slice(1).map((to, place) => [this.#samples[place], to]);
    return pairs.map(([from, to]) => ({ ms: to.ms, value: between(read(from), read(to), q) }));
  }

  /** The mean of what was observed lately, of `{count, sum_s}`; null where nothing was. */
  mean(read) {
    const [from, to] = this.#window();
    const count = from ? read(to).count - read(from).count : 0;
    return count > 0 ? (read(to).sum_s - read(from).sum_s) / count : null;
  }

  #window() {
    const to = this.#samples.at(-1);
    const from = to && this.#samples.find(({ ms }) => to.ms - ms <= WINDOW_MS);
    return from && from !== to ? [from, to] : [null, to];
  }
}

/** Whether the counters began anew between two samples. */
function restarted(from, to) {
  return from.node !== to.node || from.written.batches > to.written.batches || from.written.bytes > to.written.bytes;
}

function growth(from, to, read) {
  return Math.max(0, ((read(to) - read(from)) * 1_000) / (to.ms - from.ms));
}

/** A quantile of what was counted between two states of a histogram, as if evenly spread within its buckets. */
function between(from, to, q) {
  const counts = to.counts.map((count, place) => count - (from.counts[place] ?? 0));
  const all = counts.at(-1) ?? 0;
  if (all <= 0) return null;
  const rank = q * all;
  const place = counts.findIndex((count) => count >= rank);
  if (place >= to.le.length) return to.le.at(-1); // beyond the last bound: at least that
  const low = place ? to.le[place - 1] : 0;
  const before = place ? counts[place - 1] : 0;
  return low + ((to.le[place] - low) * (rank - before)) / Math.max(1e-9, counts[place] - before);
}
