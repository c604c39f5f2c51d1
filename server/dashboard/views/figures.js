/** What happened between samples of `/v1/system`. Pure: samples in, numbers out. */

const KEPT = 150; // samples: five minutes of one every two seconds
const WINDOW_MS = 10_000; // over which the large figures are taken

// A measure says what happened between two samples; `read(sample)` is a total.

/** By how much it grew a second. */
export const growth = (read) => (from, to) => Math.max(0, ((read(to) - read(from)) * 1_000) / (to.ms - from.ms));

/** The mean of what was observed, of `{count, sum_s}`; null where nothing was. */
export const mean = (read) => (from, to) => {
	const count = read(to).count - read(from).count;
	return count > 0 ? (read(to).sum_s - read(from).sum_s) / count : null;
};

/** Under what a share `q` stayed, as if evenly spread in each bucket; null where nothing was observed. */
export const quantile = (read, q) => (from, to) => {
	const { le, counts: totals } = read(to);
	const counts = totals.map((count, place) => count - (read(from).counts[place] ?? 0));
	const rank = q * (counts.at(-1) ?? 0);
	if (rank <= 0) return null;
	const place = counts.findIndex((count) => count >= rank);
	if (place >= le.length) return le.at(-1); // beyond the last bound: at least that
	const [low, before] = place ? [le[place - 1], counts[place - 1]] : [0, 0];
	return low + ((le[place] - low) * (rank - before)) / Math.max(1e-9, counts[place] - before);
};

export class Figures {
	#samples = [];

	add(sample) {
		const taken = { ...sample, ms: Date.parse(sample.at) };
		const last = this.latest;
		if (last && taken.ms <= last.ms) return; // another worker's, of a while ago
		const restarted = last && (last.node !== taken.node || last.written.batches > taken.written.batches);
		this.#samples = [...(restarted ? [] : this.#samples), taken].slice(-KEPT);
	}

	get latest() {
		return this.#samples.at(-1);
	}

	lately(measure) {
		const from = this.#samples.find(({ ms }) => this.latest.ms - ms <= WINDOW_MS);
		return from === this.latest ? null : measure(from, this.latest);
	}

	course(measure) {
		return this.#samples.slice(1).map((to, place) => ({ ms: to.ms, value: measure(this.#samples[place], to) }));
	}
}
