import { formatDuration, formatValue } from "../format.js";
import { follow } from "../listing.js";
import { h, notice, render, shape, table, viewHead } from "../tree.js";
import { Figures } from "./figures.js";
import { PANELS } from "./panels.js";

const POLL_MS = 1_500; // the clock ticks once a second: every other time
const FRESH_MS = 5_000;
const TRACE_HEIGHT = 56;

export async function mount(root, desk) {
	const { api, clock, signal } = desk;
	const figures = new Figures();
	const samples = follow(desk, async () => figures.add(await api.get("/v1/system")), draw, POLL_MS);

	function draw() {
		const { latest } = figures;
		const age = clock.now() - latest?.ms;
		const source = latest
			? `Sluice ${latest.version} on ${latest.node}: all ${latest.workers.length} of its workers together, `
				+ `${age < FRESH_MS ? "now" : `as of ${formatDuration(age)} ago`}. Rates are of the last 10 s.`
			: "Asking …";
		render([
			viewHead("System", h("p.muted.small", { class: age >= FRESH_MS && "stale", "data-part": "source" }, source)),
			notice(samples.problem),
			latest && h("div.figures",
				h("section.panel.figure.services", h("h2", "Services"), services(latest)),
				PANELS.map((each) => figurePanel(each, figures))),
		], root);
	}

	draw();
	clock.tick(draw, signal);
	await samples.load();
}

function services({ asked, redis, workers }) {
	const line = (name, well, text) =>
		h("p.service", { "data-service": name, "data-well": String(well) },
			shape(well ? "resolved" : "warning"), h("b", name), h("span", text));
	const whole = redis.hearing >= workers.length;
	return [
		line("PostgreSQL", asked.ready,
			asked.ready ? `ready; answered worker ${asked.worker} in ${formatValue(asked.check_ms)} ms` : asked.reason),
		line("Redis", whole, `${redis.hearing} of ${workers.length} workers hear each other through it`
			+ (whole ? "" : "; alerts and values go by PostgreSQL meanwhile, up to 2 s later")),
	];
}

function figurePanel({ title: name, note, facts = [], trace: traced, columns, empty, rows }, figures) {
	const list = facts.filter(([label]) => label);
	return h("section.panel.figure", { key: name },
		h("h2", name),
		facts.filter(([label]) => !label).map(([, read, id]) => h("p.large", { "data-figure": id }, read(figures))),
		traced && trace(traced, traced.measures.map((measure) => figures.course(measure)), figures.latest.ms),
		rows && figureTable(name, columns, empty, rows(figures)),
		list.length > 0 && h("dl", list.map(([label, read, id]) =>
			h("div.split", h("dt", label), h("dd", { "data-figure": id }, read(figures))))),
		note && h("p.muted.small", note));
}

function figureTable(name, columns, empty, rows) {
	if (!rows.length) return h("p.muted", empty);
	return h("div.scroll", { tabindex: 0, role: "group", "aria-label": name },
		table(columns, rows.map(({ id, hint, cells }) =>
			h("tr", { key: id, title: hint }, h("th", { scope: "row" }, id), cells.map((text) => h("td", text))))));
}

/** `courses`: of each line its `[{ms, value}]`; `least` is of the top of the scale. */
function trace({ label, format, note = "", least = 0 }, courses, now) {
	const begin = courses[0][0]?.ms ?? now;
	const known = courses.map((course) => course.filter(({ value }) => value !== null));
	const peak = Math.max(0, ...known.flat().map(({ value }) => value));
	const top = Math.max(peak, least) || 1;
	const lines = known.map((course) => course.map(({ ms, value }) => `${ms - begin},${TRACE_HEIGHT * (1 - value / top)}`).join(" "));
	return h("div.trace",
		h("svg", { viewBox: `0 -1 ${now - begin} ${TRACE_HEIGHT + 2}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
			h("polygon.area", { points: `0,${TRACE_HEIGHT} ${lines[0]} ${now - begin},${TRACE_HEIGHT}` }),
			lines.map((points, place) => h("polyline", { class: `line-${place + 1}`, points }))),
		h("p.scale.split.muted", { "aria-hidden": "true" },
			h("span", `${formatDuration(now - begin)} ago`), h("span", note), h("span", `peak ${format(peak)}`)));
}
