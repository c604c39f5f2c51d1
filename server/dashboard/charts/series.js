/**
 * History as it was loaded, readings or buckets, and behind it the live tail.
 *
 * Of live values that come at once only the newest is told. So the tail is a first look, and history, asked for again from
 * where it ends, takes its place: what was drawn of the tail is in the answer, or had not been stored when it was asked for.
 */

const MOST_TAIL = 2_000; // values; what is dropped comes again with history
const SILENCE_STEPS = 3; // usual ones without a value are a gap …
const SILENCE_BUCKETS = 1.5; // … but never less than so many buckets

export class Series {
	#points = []; // {ts, avg, min, max, count} of buckets, {ts, avg} of readings, ascending
	#tail = []; // {ts, avg}, ascending
	#silence; // seconds without a value that are a gap
	#columns = null;

	level = null; // seconds of its buckets; 0: readings; null: nothing was loaded yet
	newest = null; // {ts, value}
	pixels = 0; // on which it is drawn; 0: out of sight
	loaded = null; // {from, to, bucket, open, asked}
	busy = true;
	problem = "";
	retryAt = 0;
	ending = null;

	constructor(metric, labels) {
		this.metric = metric;
		this.labels = labels;
	}

	/** The last that came live and is not in history; the answer to a question that is asked now holds it. */
	get unsure() {
		return this.#tail.at(-1);
	}

	get known() {
		return this.#points.at(-1)?.ts;
	}

	get size() {
		return this.#points.length + this.#tail.length;
	}

	know(ts, value) {
		if (!(this.newest?.ts >= ts)) this.newest = { ts, value };
	}

	/** A live value; one that is not newer than those here is known already. */
	hear(ts, value) {
		this.know(ts, value);
		if (ts <= (this.unsure?.ts ?? (this.level === 0 ? this.known : undefined))) return;
		this.#tail.push({ ts, avg: value });
		if (this.#tail.length > MOST_TAIL) this.#tail.splice(0, MOST_TAIL / 2);
		this.#columns = null;
	}

	/** Replace everything since `from` by what was asked for when `unsure` was the last. */
	take(level, points, unsure, from = -Infinity) {
		this.level = level;
		this.#points = this.#points.filter(({ ts }) => ts < from).concat(points);
		this.#tail = this.#tail.slice(this.#tail.indexOf(unsure) + 1);
		const last = this.#points.at(-1);
		if (level === 0 && last) {
			this.#tail = this.#tail.filter(({ ts }) => ts > last.ts);
			this.know(last.ts, last.avg);
		}
		this.#silence = silenceOf(this.#points, level);
		this.#columns = null;
	}

	/** Ascending; into buckets, the tail is folded. */
	points() {
		if (!this.level) return this.#points.concat(this.#tail);
		const points = this.#points.slice();
		for (const { ts, avg: value } of this.#tail) {
			const start = Math.floor(ts / this.level) * this.level;
			const last = points.at(-1);
			if (last?.ts > start) continue; // late: history will say
			const { avg, min, max, count } = last?.ts === start ? points.pop() : { avg: 0, min: value, max: value, count: 0 };
			const mean = avg + (value - avg) / (count + 1);
			points.push({ ts: start, avg: mean, min: Math.min(min, value), max: Math.max(max, value), count: count + 1 });
		}
		return points;
	}

	/** Moments, values, smallest and largest; a null is a gap. The same array until something changes. */
	columns() {
		return (this.#columns ??= this.#draw(this.points()));
	}

	/** Whether it is a switch, which is on or off but never in between. */
	get steps() {
		return !this.level && this.columns()[1].every((value) => !value || value === 1);
	}

	#draw(points) {
		const columns = [[], [], [], []];
		const put = (...row) => row.forEach((value, place) => columns[place].push(value));
		const half = this.level / 2;
		let before;
		for (const { ts, avg, min = null, max = null } of points) {
			if (ts - before > this.#silence) put(half + (before + ts) / 2, null, null, null);
			put(ts + half, avg, min, max);
			before = ts;
		}
		const [x] = columns;
		if (this.newest?.ts >= before) x[x.length - 1] = Math.min(before + half, this.newest.ts); // the last bucket is not over
		return columns;
	}
}

/** How long nothing may come before that is a gap, in seconds. */
function silenceOf(points, level) {
	const steps = points.slice(1).map(({ ts, count = 1 }, place) => (ts - points[place].ts) / count);
	const usual = Float64Array.from(steps).sort()[steps.length >> 1];
	return Math.max(level * SILENCE_BUCKETS, usual * SILENCE_STEPS);
}
