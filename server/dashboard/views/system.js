/** How the node is. */

import { formatDuration, formatValue } from "../format.js";
import { follow } from "../listing.js";
import { h, notice, render, shape, table, viewHead } from "../tree.js";
import { Figures } from "./figures.js";
import { PANELS } from "./panels.js";
import { trace } from "./trace.js";

export const title = "System";

const POLL_MS = 1_500; // the clock ticks once a second: every other time
const FRESH_MS = 5_000;
const DOUBTED_MS = 10_000; // a sample that old says nothing of how services are now
const MARKS = { true: "resolved", false: "warning", unknown: "connecting" };

export async function mount(root, desk) {
	const { api, clock, signal } = desk;
	const figures = new Figures();
	const samples = follow(desk, async () => {
		figures.add(await api.get("/v1/system"));
		return figures;
	}, draw, POLL_MS);

	function draw() {
		const { latest } = figures;
		const age = clock.now() - latest?.ms;
		const source = latest
			? `Sluice ${latest.version} on ${latest.node}: all ${latest.workers.length} of its workers together, `
				+ `${age < FRESH_MS ? "now" : `as of ${formatDuration(age)} ago`}. Rates are of the last 10 s.`
			: "Asking …";
		render([
			viewHead(title, h("p.muted.small", { class: age >= FRESH_MS ? "stale" : null, "data-part": "source" }, source)),
			notice(samples.problem),
			latest && h("div.figures",
				h("section.panel.figure.services", h("h2", "Services"), services(latest, age >= DOUBTED_MS)),
				PANELS.map((each) => figurePanel(each, figures))),
		], root);
	}

	draw();
	clock.tick(draw, signal);
	await samples.load();
}

/** How they were when the sample was taken; `doubted`: nobody knows how they are now. */
function services({ asked, redis, workers }, doubted) {
	const line = (name, well, text) =>
		h("p.service", { "data-service": name, "data-well": doubted ? "unknown" : String(well) },
			shape(MARKS[doubted ? "unknown" : well]), h("b", name), h("span", doubted ? `not known; before: ${text}` : text));
	const whole = redis.hearing >= workers.length;
	return [
		line("PostgreSQL", asked.ready,
			asked.ready ? `ready; answered worker ${asked.worker} in ${formatValue(asked.check_ms)} ms` : asked.reason),
		line("Redis", whole, `${redis.hearing} of ${workers.length} workers hear each other through it`
			+ (whole ? "" : "; alerts and values go by PostgreSQL meanwhile, up to 2 s later")),
	];
}

function figurePanel({ title: name, note, facts = [], trace: course, columns, empty, rows }, figures) {
	const list = facts.filter(([label]) => label);
	return h("section.panel.figure", { key: name },
		h("h2", name),
		facts.filter(([label]) => !label).map(([, read, id]) => h("p.large", { "data-figure": id }, read(figures))),
		course && trace(course, course.measures.map((measure) => figures.course(measure)), figures.latest.ms),
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
