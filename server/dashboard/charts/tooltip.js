/** What a chart says of the moment under the cursor. */

import { formatDuration, formatLabels, formatUtc, formatValue } from "../format.js";
import { h, shape } from "../tree.js";
import { pointOf } from "./plot.js";
import { iso, MOMENT } from "./span.js";

const SIDE_PX = 14;

export function tooltip(plot, { lines, alerts }) {
	const left = plot.cursor.left + plot.bbox.left / devicePixelRatio;
	const side = left < plot.width / 2 ? { left: `${left + SIDE_PX}px` } : { right: `${plot.width - left + SIDE_PX}px` };
	const points = lines.map((line, place) => pointOf(plot, place));
	const at = points.find(Boolean)?.ts ?? plot.posToVal(plot.cursor.left, "x");
	const firing = alerts.filter(({ fired, resolved }) => fired <= at && at <= (resolved ?? Infinity));
	const { level } = lines[0];
	return h("div.tooltip", { style: side },
		h("b", MOMENT.format(at * 1_000)),
		h("span.muted", formatUtc(iso(at)), level > 0 && ` · average of ${formatDuration(level * 1_000)}`),
		points.map((point, place) => point && h("span",
			lines.length > 1 && [swatch(place), ` ${nameOf(lines[place])} `],
			h("b", { title: point.value }, formatValue(point.value)),
			point.high > point.low && h("span.muted", ` ${formatValue(point.low)} – ${formatValue(point.high)}`))),
		!points.some(Boolean) && h("span.muted", "no value"),
		firing.map(({ severity, rule }) => h("span.tag", { "data-severity": severity }, shape(severity, severity), rule.name)));
}

export const nameOf = ({ labels }) => formatLabels(labels) || "no labels";

export const swatch = (place) => h("i.swatch", { style: { background: `var(--series-${place + 1})` } });
