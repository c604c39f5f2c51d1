/** One device: how it is, its metrics over time, and its alerts. */

import { Alerts } from "../alerts.js";
import { withQuery } from "../api.js";
import { frames } from "../charts/frames.js";
import { makeHistory } from "../charts/history.js";
import { palette } from "../charts/palette.js";
import { makePanel } from "../charts/panel.js";
import { Series } from "../charts/series.js";
import { moment, Span } from "../charts/span.js";
import { follow } from "../listing.js";
import { h, notice, render, search } from "../tree.js";
import { deviceAlerts } from "./devicealerts.js";
import { absentDevice, deviceHead } from "./devicehead.js";
import { timeBar, timeKeys } from "./timebar.js";

const MOST_PANELS = 24;
const MAX_RATE = 5; // live values a second
const SETTLE_MS = 200; // a key repeats itself, and Safari throws at too many addresses

export async function mount(root, desk) {
	const { api, live, clock, params, query, session, navigate, signal } = desk;
	const device = params.name;
	const path = `/devices/${encodeURIComponent(device)}`;
	const panels = new Map(); // metric → panel
	let sought = query.get("metric") ?? "";
	let calm = new Span(); // the live one to go back to
	let heard = -Infinity; // when anything came, by the server's clock
	let refused = "";
	let settling;

	const sight = new IntersectionObserver((entries) => {
		for (const { target, isIntersecting } of entries) panels.get(target.dataset.metric).see(isIntersecting);
	}, { rootMargin: "150px" });

	// What panels share: `span` is what is seen, `on` what viewers do to it, `want(draw)` has something drawn.
	const page = {
		device, api, clock, signal, sight,
		series: new Map(), // key → Series
		span: Span.of(query),
		want: frames(signal),
		now: () => clock.now() / 1_000,
		bounds: () => page.span.bounds(page.now()),
		on: {
			choose: (length) => show(new Span(length)),
			between: (from, to) => show(Span.between(from, to)),
			reset: () => show(calm),
			move: (share) => show(page.span.moved(share, page.now()), SETTLE_MS),
			zoom: (factor, share = 0.5) => show(page.span.zoomed(factor, share), SETTLE_MS),
		},
	};
	if (page.span.live) calm = page.span;
	page.colours = palette(() => panels.forEach((panel) => panel.want(true)), signal);
	page.history = makeHistory(page, ({ metric }) => panels.get(metric).want());
	const alerts = new Alerts(api, live, device);
	const rules = follow(desk, () => api.get("/v1/rules", { device }), judge);

	// Live values may not come.
	const known = follow(desk, async () => {
		const { items: [found] } = await api.get("/v1/fleet", { device, limit: 1, latest: 0 });
		if (!found) return false;
		const { metrics } = await api.get(`/v1${path}/latest`);
		heard = Math.max(heard, moment(found.last_seen));
		for (const [metric, items] of Object.entries(metrics)) {
			for (const { ts, value, labels } of [items].flat()) seriesOf(metric, labels).know(moment(ts), value);
		}
		return true;
	}, judge);

	function draw() {
		const metrics = [...panels.keys()].sort();
		const found = metrics.filter((metric) => metric.toLowerCase().includes(sought.trim().toLowerCase()));
		const more = found.length - MOST_PANELS;
		render([
			deviceHead(device, [...page.series.values()], alerts, heard, page.now()),
			notice(refused || known.problem || rules.problem),
			h("div.device-bar.split",
				timeBar(page),
				(metrics.length > 1 || sought) && h("div.filters", search("Find a metric", "Find a metric", sought, seek))),
			known.answer === false && !metrics.length && absentDevice(device, session),
			h("div.charts", found.slice(0, MOST_PANELS).map((metric) =>
				h("figure.chart.panel", { key: metric, "data-metric": metric, ref: panels.get(metric).attach }))),
			more > 0 && h("p.muted.small", `${more} more metrics: write a part of a name.`),
			deviceAlerts(desk, device, alerts, rules.answer?.items),
		], root);
		panels.forEach((panel) => panel.want());
	}

	function judge() {
		const seconds = (text) => text && Date.parse(text) / 1_000;
		const marks = [...alerts.resolved.values(), ...alerts.firing.values()].map((alert) =>
			({ ...alert, fired: seconds(alert.fired_at), resolved: seconds(alert.resolved_at) }));
		panels.forEach((panel) => panel.judge(marks, rules.answer?.items ?? []));
		draw();
	}

	/** One that goes on changing is loaded, and written into the address, once it rests. */
	function show(span, afterMs = 0) {
		if (span.live) calm = span;
		page.span = span;
		draw();
		clearTimeout(settling);
		settling = setTimeout(() => {
			write(afterMs > 0);
			page.series.forEach(page.history.giveUp);
			page.history.look();
		}, afterMs);
	}

	function seek(text) {
		sought = text;
		write(true);
		draw();
	}

	function write(replace) {
		navigate(withQuery(path, { metric: sought || null, ...page.span.words }), { replace, stay: true });
	}

	function seriesOf(metric, labels = {}) {
		const key = JSON.stringify([metric, Object.entries(labels).sort()]);
		if (!page.series.has(key)) {
			const series = new Series(metric, labels);
			page.series.set(key, series);
			if (!panels.has(metric)) panels.set(metric, makePanel(metric, page));
			panels.get(metric).add(series);
		}
		return page.series.get(key);
	}

	function hear({ readings }) {
		const before = page.series.size;
		heard = page.now();
		for (const { metric, labels, ts, value } of readings) {
			seriesOf(metric, labels).hear(moment(ts), value);
			panels.get(metric).want();
		}
		if (page.series.size > before) judge();
	}

	/** Nothing was promised of what came while nobody listened. */
	async function catchUp() {
		const release = live.hold();
		await Promise.all([page.history.catchUp(), known.load()]).finally(release);
	}

	// First of all: whatever comes is then in history, or live.
	const onRefused = () => (refused = "Live values were refused: the page reads every few seconds.");
	live.subscribe(`readings:${device}`, { data: { max_rate: MAX_RATE }, onData: hear, onSubscribed: catchUp, onRefused }, signal);
	draw();
	new ResizeObserver(() => panels.forEach((panel) => panel.see())).observe(root);
	signal.addEventListener("abort", () => clearTimeout(settling), { once: true }); // the address is another view's
	timeKeys(page.on, signal);
	clock.tick(draw, signal);
	alerts.addEventListener("change", judge, { signal });
	alerts.start(clock, signal);
	rules.load();
	await known.load();
}
