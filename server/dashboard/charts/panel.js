import { withQuery } from "../api.js";
import { formatDuration, formatUtc, formatValue } from "../format.js";
import { button, h, render, shape } from "../tree.js";
import { follow } from "./gestures.js";
import { limitsOf } from "./overlay.js";
import { join, makePlot, moveCursor } from "./plot.js";
import { iso } from "./span.js";
import { nameOf, swatch, tooltip } from "./tooltip.js";

const MOST_LINES = 8; // as many as there are colours

/**
 * One metric: `attach(root)`, null when that is gone; `see(seen)` when it comes within sight, or is resized; `want(anew)` has
 * it drawn soon, with `anew` even where it shows the same.
 */
export function makePanel(metric, page) {
	const all = []; // its series
	const chart = { lines: [], limits: [], alerts: [], window: [0, 1], now: 0 };
	let root = null;
	let box;
	let size = { width: 0, height: 0 }; // of the box: to ask at every frame would cost layouts
	let first = 0; // that is drawn
	let seen = false;
	let plot = null;
	let drawn = []; // columns
	let said = "";
	page.signal.addEventListener("abort", end, { once: true });
	return { attach, add, judge, see, want };

	function attach(node) {
		if (!node) see(false);
		root = node;
		end();
		if (!node) return;
		root.series = all; // for tests
		show();
		page.sight.observe(root);
	}

	function add(series) {
		all.push(series);
		all.sort((a, b) => nameOf(a).localeCompare(nameOf(b), undefined, { numeric: true })); // so that colours stay
		choose(first);
	}

	function choose(place) {
		first = place;
		chart.lines = all.slice(first, first + MOST_LINES);
		end();
		see();
	}

	function judge(alerts, rules) {
		chart.alerts = alerts.filter((alert) => alert.metric === metric);
		chart.limits = limitsOf(rules, chart.lines);
		want(true);
	}

	function see(now = seen) {
		seen = now;
		if (seen) size = { width: box.clientWidth, height: box.clientHeight };
		if (seen && plot?.width !== size.width) plot?.setSize(size);
		for (const series of all) {
			series.pixels = seen && chart.lines.includes(series) ? size.width : 0;
			if (!series.pixels) page.history.giveUp(series);
		}
		page.history.look();
		want();
	}

	function want(anew = false) {
		if (anew) drawn = [];
		if (seen) page.want(draw);
	}

	function draw() {
		if (!root) return;
		if (size.width && all.length) drawChart();
		show();
	}

	/** A window that moves, moves by whole pixels: between them there is nothing to draw. */
	function drawChart() {
		const { length, live } = page.span;
		const [from] = page.bounds();
		const pixel = live ? length / size.width : 1e-3;
		const min = Math.floor(from / pixel) * pixel;
		const max = min + length;
		const tables = chart.lines.map((line) => line.columns());
		const fresh = tables.some((table, place) => table !== drawn[place]);
		if (plot && !fresh && min === chart.window[0] && max === chart.window[1]) return;
		Object.assign(chart, { window: [min, max], now: page.now() });
		drawn = tables;
		const data = fresh && join(tables);
		if (!plot) plot = makePlot(box, size, data, chart, page.colours, { zoom: page.on.between, cursor: show });
		else {
			plot.batch(() => {
				if (fresh) plot.setData(data, false);
				plot.setScale("x", { min, max });
			});
		}
	}

	function end() {
		plot?.destroy();
		[plot, drawn] = [null, []];
	}

	/** Move the cursor by so many values and say what is there; 0: away. */
	function step(count) {
		if (!plot) return;
		moveCursor(plot, count);
		said = [...root.querySelectorAll(".tooltip > *")].map(({ textContent }) => textContent).join(", ");
		show();
	}

	/** Show all but the plot. */
	function show() {
		const { lines, limits } = chart;
		const [last] = all.map((each) => each.newest).filter(Boolean).sort((a, b) => b.ts - a.ts);
		const pointed = plot?.cursor.left >= 0 && box.matches(":hover, :focus-visible"); // not in another chart
		const [from, to] = page.bounds();
		const file = withQuery("/v1/readings", { device: page.device, metric, from: iso(from), to: iso(to), format: "csv" });
		render([
			h("figcaption",
				h("h2", { title: metric }, metric),
				h("span.now", h("b.newest", { title: last?.value }, last ? formatValue(last.value) : "–"), " ",
					last && h("time.age.muted.small", { datetime: iso(last.ts), title: formatUtc(iso(last.ts)) },
						formatDuration((page.now() - last.ts) * 1_000)))),
			h("div.box", { "aria-busy": String(lines.some(({ busy }) => busy)) },
				h("div.plot", {
					ref: take, role: "application", tabindex: 0, "aria-roledescription": "chart",
					"aria-label": `${metric} over time; newest value ${last?.value ?? "unknown"}; arrow keys read others`,
				}),
				pointed && tooltip(plot, chart),
				h("p.note.muted.small", noteOf(lines, from, to)),
				h("p.unseen", { "aria-live": "polite" }, said)),
			h("div.split.small",
				h("span.limits", limits.map(({ severity, side, value, rule }) =>
					h("span.tag", { "data-severity": severity, title: `${severity}: ${rule.name}` },
						shape(severity, severity), `${side === "above" ? ">" : "<"} ${formatValue(value)}`))),
				h("a", { href: file, download: true }, "CSV")),
			all.length > 1 && legend(lines),
		], root);
	}

	function take(node) {
		box = node;
		if (node) follow(node, page.on, step);
	}

	function legend(lines) {
		const next = first + MOST_LINES < all.length ? first + MOST_LINES : 0;
		return h("ul.legend.small",
			lines.map((line, place) =>
				h("li", swatch(place), ` ${nameOf(line)} `, h("b", line.newest ? formatValue(line.newest.value) : "–"))),
			all.length > MOST_LINES && h("li.muted",
				`label sets ${first + 1} – ${first + lines.length} of ${all.length} `, button("Show the next", () => choose(next))));
	}
}

/** In the place of lines. */
function noteOf(lines, from, to) {
	const problem = lines.find((line) => line.problem)?.problem;
	if (problem) return problem;
	if (!lines.some(({ level }) => level !== null)) return "Loading …";
	return lines.some((line) => line.columns()[0].some((ts) => ts >= from && ts <= to)) ? "" : "Nothing was reported in this time.";
}
