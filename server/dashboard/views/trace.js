/** A small course of the last minutes, in plain SVG. */

import { formatDuration } from "../format.js";
import { h } from "../tree.js";

const WIDTH = 300;
const HEIGHT = 56;
const SPAN_MS = { least: 60_000, most: 300_000 }; // it begins narrow

/** `courses`: of each line its `[{ms, value}]`; `least` is of the top of the scale. */
export function trace({ label, format, note = "", least = 0 }, courses, now) {
	const peak = Math.max(0, ...courses.flat().map(({ value }) => value ?? 0));
	const top = Math.max(peak, least) || 1;
	const span = Math.min(SPAN_MS.most, Math.max(SPAN_MS.least, now - (courses[0][0]?.ms ?? now)));
	const lines = courses.map((course) => course
		.filter(({ ms, value }) => value !== null && now - ms <= span)
		.map(({ ms, value }) => [WIDTH * (1 - (now - ms) / span), HEIGHT - 1 - (value / top) * (HEIGHT - 3)].map((at) => at.toFixed(1))));
	const [first] = lines;
	const ground = first.length ? [[first[0][0], HEIGHT], ...first, [first.at(-1)[0], HEIGHT]] : [];
	return h("div.trace",
		h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
			h("polygon.area", { points: ground.join(" ") }),
			lines.map((points, place) => h("polyline", { class: `line-${place + 1}`, points: points.join(" ") }))),
		h("p.scale.split.muted", { "aria-hidden": "true" },
			h("span", `${formatDuration(span)} ago`), h("span", note), h("span", `peak ${format(peak)}`)));
}
