/** Loads a device's series: for the span that is seen, as finely as the pixels show, and again from where it ends. */

import { bucketFor, iso, moment } from "./span.js";

const AT_ONCE = 4; // requests: a worker reads as many for all of its viewers
const A_PIXEL = { asked: 4, kept: 6 }; // readings: more are buckets
const MOST_ASKED = 10_000; // the API gives no more
const READINGS_UP_TO_S = 3_600; // of a longer span buckets are asked for
const KEPT_S = [60, 3_600, 86_400]; // buckets that outlive the readings
const AHEAD_S = 660; // readings may be so far ahead of the server's clock
const OVERLAP_S = 10; // for readings that were stored out of order
const FILL_S = { least: 5, most: 60 }; // how often what is new is asked for; the most where none is known of
const RETRY_S = 5;

const seconds = () => performance.now() / 1_000;

/** Keeps `page.series` loaded; `tell(series)` follows when one is `busy`, has a `problem`, or was loaded. */
export function makeHistory(page, tell) {
	let whole = []; // who waits until all is here
	let asking = 0;
	let lostAt = 0; // live values may have been missed until then

	function look() {
		for (const series of page.series.values()) if (asking < AT_ONCE && isDue(series)) ask(series);
		if (asking) return;
		whole.forEach((done) => done());
		whole = [];
	}

	function isDue(series) {
		const { level, loaded, pixels, ending, retryAt, unsure, newest, known } = series;
		if (page.signal.aborted || !pixels || ending || seconds() < retryAt) return false;
		if (!fits(series)) return true;
		const more = unsure || newest?.ts > known + level;
		const patience = more ? Math.max(FILL_S.least, Math.min(FILL_S.most, level / 6)) : FILL_S.most;
		return loaded.open && (loaded.asked < lostAt || seconds() - loaded.asked >= patience);
	}

	function fits({ level, loaded, pixels, size }) {
		const [from, to] = page.bounds();
		if (!loaded || loaded.from > from || loaded.to < to) return false;
		return size <= A_PIXEL.kept * pixels && (level === 0 || loaded.bucket === bucketFor(page.span.length, pixels));
	}

	async function ask(series) {
		const { signal } = (series.ending = new AbortController());
		const api = page.api.within(signal);
		const asked = seconds();
		asking += 1;
		series.busy = !fits(series);
		tell(series);
		try {
			if (series.busy || !(await fill(series, api))) await load(series, api);
			series.loaded.asked = asked;
			series.problem = "";
		} catch (error) {
			if (signal.aborted || page.signal.aborted) return;
			if (error.status === undefined) throw error;
			series.problem = `${error.message} Trying again.`;
			series.retryAt = seconds() + Math.max(RETRY_S, error.retryAfterMs / 1_000);
		} finally {
			asking -= 1;
			if (!signal.aborted) Object.assign(series, { busy: false, ending: null });
			tell(series);
			look();
		}
	}

	async function load(series, api) {
		const { unsure } = series;
		const { length, live } = page.span;
		const [from, to] = page.bounds();
		const around = length * (live ? 0.1 : 0.5); // so that it can be moved at once
		const bucket = bucketFor(length, series.pixels);
		const begin = Math.floor((from - around) / bucket) * bucket;
		const end = live ? Infinity : to + around;
		const [level, points] = await finest(series, api, begin, end, bucket);
		series.take(level, points, unsure);
		series.loaded = { from: begin, to: end, bucket, open: end > page.now() };
	}

	/** Load what came since it ends; false where that is too much. */
	async function fill(series, api) {
		const { level, loaded, unsure, known = loaded.from } = series;
		const begin = level ? known : known - OVERLAP_S;
		const points = await read(series, api, level, begin, loaded.to);
		if (points) series.take(level, points, unsure, begin);
		return Boolean(points);
	}

	/** Readings (of level 0) where the pixels can show them, else buckets, the finest that are still there. */
	async function finest(series, api, from, to, bucket) {
		const levels = [bucket, ...KEPT_S.filter((level) => level > bucket)];
		if (page.span.length <= READINGS_UP_TO_S) levels.unshift(0);
		for (const level of levels) {
			const points = await read(series, api, level, from, to);
			if (points?.length) return [level, points];
		}
		return [levels[0], []];
	}

	/** Null where there are more readings than the pixels can show. */
	async function read({ metric, labels, pixels }, api, level, from, to) {
		const question = { device: page.device, metric, exact: true, from: iso(from), to: iso(Math.min(to, page.now() + AHEAD_S)) };
		for (const [name, value] of Object.entries(labels)) question[`labels.${name}`] = value;
		if (level) {
			const { buckets } = await api.get("/v1/series", { ...question, bucket_s: level });
			return buckets.map((bucket) => ({ ...bucket, ts: moment(bucket.ts) }));
		}
		const limit = Math.min(MOST_ASKED, A_PIXEL.asked * pixels);
		const { items, next } = await api.get("/v1/readings", { ...question, limit });
		return next ? null : items.map(({ ts, value }) => ({ ts: moment(ts), avg: value }));
	}

	page.clock.tick(look, page.signal);
	return {
		look,
		/** What was asked is not wanted any more. */
		giveUp(series) {
			series.ending?.abort();
			Object.assign(series, { ending: null, retryAt: 0 });
		},
		/** Resolves when what is within sight is whole again. */
		catchUp: () => new Promise((done) => {
			lostAt = seconds();
			page.series.forEach((series) => (series.retryAt = 0));
			whole.push(done);
			look();
		}),
	};
}
