import { numbers, times } from "../format.js";
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { drawAlerts, drawLimits } from "./overlay.js";

const DAY = times({ day: "numeric", month: "short" });
const CLOCK = times({ timeStyle: "short" });
const SECONDS = times({ timeStyle: "medium" });
const compact = numbers({ notation: "compact", maximumFractionDigits: 2 });
const REACH = 0.6; // of what is seen: a limit that is no further is seen too
const NEAR_PX = 24; // of the cursor
const PARTS = 3; // columns of a line: its value, smallest, largest
const SHARED = ["mousemove", "mouseleave"]; // with the other charts: not what is drawn out
const [linear, stepped] = [uPlot.paths.linear(), uPlot.paths.stepped({ align: 1 })];

/** A chart, `{lines, limits, alerts, window, now}`, drawn by uPlot; `on.zoom(from, to)` when a part was drawn out. */
export function makePlot(box, size, data, chart, colours, on) {
	const axis = { stroke: () => colours.muted, font: "11px system-ui, sans-serif", ticks: { show: false }, gap: 4 };
	const bound = { stroke: "transparent", width: 0, points: { show: false } };
	return new uPlot({
		...size,
		padding: [12, 16, 0, 0],
		legend: { show: false },
		scales: { x: { range: () => chart.window }, y: { range: (plot, min, max) => range(min, max, chart.limits) } },
		axes: [
			{ ...axis, size: 24, space: 72, grid: { show: false }, values: timeTexts },
			{ ...axis, size: 48, space: 32, grid: { stroke: () => colours.line, width: 1 }, values: valueTexts },
		],
		series: [{}, ...chart.lines.flatMap((line, place) => {
			const stroke = () => colours[`series-${place + 1}`];
			const points = { show: true, filter: dots, size: 5, width: 0, fill: stroke };
			return [{ stroke, points, width: 1.5, paths: (...details) => (line.steps ? stepped : linear)(...details) }, bound, bound];
		})],
		bands: chart.lines.map((line, place) => ({
			series: [place * PARTS + 3, place * PARTS + 2],
			fill: () => `color-mix(in srgb, ${colours[`series-${place + 1}`]} 18%, transparent)`,
		})),
		cursor: {
			y: false,
			points: { size: 7, show: (plot, index) => index % PARTS === 1 && document.createElement("div") },
			hover: { prox: NEAR_PX, skip: [null] },
			drag: { setScale: false, dist: 6 },
			bind: { dblclick: () => null },
			sync: { key: "charts", scales: ["x", null], filters: { pub: (type) => SHARED.includes(type) } },
		},
		hooks: {
			drawClear: [(plot) => drawLimits(plot, chart.limits, colours)],
			draw: [(plot) => drawAlerts(plot, chart, colours)],
			setCursor: [on.cursor],
			setSelect: [(plot) => {
				const { left, width } = plot.select;
				if (width < 2) return;
				plot.setSelect({ width: 0, height: 0 }, false);
				on.zoom(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
			}],
		},
	}, data, box);
}

/** With the same moments for all. */
export const join = (tables) => (tables.length === 1 ? tables[0] : uPlot.join(tables));

/** What a line has near the cursor; null where there is nothing. */
export function pointOf({ cursor, data }, place) {
	const index = cursor.idxs[place * PARTS + 1];
	if (index == null) return null;
	const [value, low, high] = data.slice(place * PARTS + 1).map((column) => column[index]);
	return { ts: data[0][index], value, low, high };
}

/** Move the cursor by so many values, from the newest on; 0: away. */
export function moveCursor(plot, count) {
	const { data: [moments], cursor, series: [{ idxs: [from, to] }] } = plot;
	const place = Math.min(to, Math.max(from, (cursor.idx ?? to + 1) + count));
	const left = count && moments.length ? plot.valToPos(moments[place], "x") : -10;
	plot.setCursor({ left, top: left }, true, true);
}

/** The places of values that no line leads to, which would not be seen, and of the last one. */
function dots({ data }, index) {
	const values = data[index];
	const places = [...values.keys()].filter((place) => values[place] !== undefined); // the others are of other lines
	const none = (turn) => values[places[turn]] == null;
	return places.filter((place, turn) => !none(turn) && none(turn + 1) && (none(turn - 1) || turn === places.length - 1));
}

/** The range of values, with the limits that are near: in steps, so that it rests while values move a little. */
function range(min, max, limits) {
	if (min == null) return [0, 1];
	const reach = Math.max((max - min) * REACH, Math.abs(max) * 0.1);
	const near = limits.map(({ value }) => value).filter((value) => value >= min - reach && value <= max + reach);
	const [least, most] = [Math.min(min, ...near), Math.max(max, ...near)];
	const span = most - least || Math.abs(most) * 0.1 || 1;
	const step = 2 ** Math.floor(Math.log2(span / 4));
	const low = Math.floor((least - span * 0.05) / step) * step;
	return [least >= 0 ? Math.max(0, low) : low, Math.ceil((most + span * 0.05) / step) * step];
}

function timeTexts(plot, moments, axis, space, step) {
	return moments.map((seconds) => {
		const moment = new Date(seconds * 1_000);
		const midnight = moment.getHours() === 0 && moment.getMinutes() === 0;
		return (step >= 86_400 || (midnight && step >= 60) ? DAY : step < 60 ? SECONDS : CLOCK).format(moment);
	});
}

function valueTexts(plot, values, axis, space, step) {
	const places = String(step).split(".")[1]?.length ?? 0;
	return values.map((value) => (Math.abs(value) >= 1e5 ? compact(value) : step < 1e-6 ? String(value) : value.toFixed(places)));
}
