/** What a chart says of the moment under the cursor. */

import { h, shape } from "../dom.js";
import { formatLabels, formatUtc, formatValue } from "../format.js";
import { durationText } from "../views/rulewords.js";
import { iso } from "./span.js";

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const NEAR_PX = 24; // a point further from the cursor is not meant
const SIDE_PX = 14;

/** The point of a series that is nearest to a moment: `{ts, value, low, high}`, or null. */
export function nearest(line, seconds, perPixel) {
  const { x, y, low, high } = line.columns();
  let best = -1;
  for (let [from, to] = [0, x.length]; from < to;) { // by halves: what is looked at last are the two around it
    const place = (from + to) >> 1;
    const closer = best < 0 || Math.abs(x[place] - seconds) < Math.abs(x[best] - seconds);
    if (closer && y[place] !== null && y[place] !== undefined) best = place;
    if (x[place] < seconds) from = place + 1;
    else to = place;
  }
  if (best < 0 || Math.abs(x[best] - seconds) > perPixel * NEAR_PX) return null;
  return { ts: x[best], value: y[best], low: low[best], high: high[best] };
}

/** Say it in `node`, beside the cursor at `left`. */
export function showTooltip(node, { lines, alerts }, seconds, left, perPixel) {
  const points = lines.map((line) => nearest(line, seconds, perPixel));
  const at = points.find(Boolean)?.ts ?? seconds;
  const { level } = lines[0];
  const firing = alerts.filter(({ fired, resolved }) => fired <= at && at <= (resolved ?? Infinity));
  node.replaceChildren(
    h("b", MOMENT.format(new Date(at * 1_000))),
    h("span.muted", formatUtc(iso(at)), level ? ` · average of ${durationText(level)}` : ""),
    ...points.map((point, place) => point && row(lines, place, point)).filter(Boolean),
    points.some(Boolean) ? "" : h("span.muted", "no value"),
    ...firing.map(({ severity, name }) => h("span.tag", { "data-severity": severity }, shape(severity), name)));
  node.hidden = false;
  const [room, width] = [node.parentElement.clientWidth, node.offsetWidth];
  const beside = left + SIDE_PX + width > room ? left - SIDE_PX - width : left + SIDE_PX;
  node.style.transform = `translateX(${Math.max(0, Math.min(room - width, beside))}px)`;
}

function row(lines, place, { value, low, high }) {
  const several = lines.length > 1;
  return h("span",
    several && [swatch(place), ` ${formatLabels(lines[place].labels) || "no labels"} `], h("b", { title: value }, formatValue(value)),
    high > low && h("span.muted", ` ${formatValue(low)} – ${formatValue(high)}`));
}

export function swatch(place) {
  const patch = h("i.swatch");
  patch.style.background = `var(--series-${place + 1})`;
  return patch;
}
