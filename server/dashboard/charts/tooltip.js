/** What a chart says of the moment under the cursor. */

import { h, setText, shape } from "../dom.js";
import { formatLabels, formatUtc, formatValue } from "../format.js";
import { iso } from "./span.js";

const MOMENT = new Intl.DateTimeFormat(undefined, {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const NEAR_PX = 24; // a point further from the cursor is not meant
const SIDE_PX = 14;

/** The point of a series that is nearest to a moment: `{ts, value, low, high}`; null where none is within `reach`. */
export function nearest(line, seconds, reach) {
  const { x, y, low, high } = line.columns();
  let [from, to] = [0, x.length];
  while (from < to) {
    const place = (from + to) >> 1;
    if (x[place] < seconds) from = place + 1;
    else to = place;
  }
  const places = [from - 1, from].filter((place) => typeof y[place] === "number");
  const [place] = places.sort((a, b) => Math.abs(x[a] - seconds) - Math.abs(x[b] - seconds));
  if (place === undefined || Math.abs(x[place] - seconds) > reach) return null;
  return { ts: x[place], value: y[place], low: low[place], high: high[place] };
}

export class Tooltip {
  root = h("div", { class: "tooltip", hidden: true });

  /** Say it, or nothing. @param {number} left of the cursor in the box  @param {number} perPixel seconds */
  show(chart, seconds, left, perPixel) {
    const points = chart.lines.map((line) => nearest(line, seconds, perPixel * NEAR_PX));
    const first = points.find(Boolean);
    const at = first?.ts ?? seconds;
    const alerts = chart.alerts.filter(({ fired, resolved }) => fired <= at && at <= (resolved ?? Infinity));
    const bucket = chart.lines[0].level;
    this.root.replaceChildren(
      h("b", {}, MOMENT.format(new Date(at * 1_000))),
      h("span", { class: "muted" }, formatUtc(iso(at)), bucket ? ` · ${bucketText(bucket)}` : ""),
      ...points.map((point, place) => point && row(chart.lines, place, point)).filter(Boolean),
      first ? "" : h("span", { class: "muted" }, "no value"),
      ...alerts.map(({ severity, name }) => h("span", { class: "tag", "data-severity": severity }, shape(severity), name)));
    this.root.hidden = false;
    const room = this.root.parentElement.clientWidth;
    const width = this.root.offsetWidth;
    const beside = left + SIDE_PX + width > room ? left - SIDE_PX - width : left + SIDE_PX;
    this.root.style.transform = `translateX(${Math.max(0, Math.min(room - width, beside))}px)`;
  }

  hide() {
    this.root.hidden = true;
  }
}

function row(lines, place, { value, low, high }) {
  const spread = typeof low === "number" && high > low ? `${formatValue(low)} – ${formatValue(high)}` : "";
  const name = lines.length > 1 ? formatLabels(lines[place].labels) || "no labels" : "";
  return h("span", { class: "reading" },
    lines.length > 1 && swatch(place), name && ` ${name} `, h("b", { title: value }, formatValue(value)),
    spread && h("span", { class: "muted" }, ` ${spread}`));
}

/** A patch of a line's colour. */
export function swatch(place) {
  const patch = h("i", { class: "swatch" });
  patch.style.background = `var(--series-${place + 1})`;
  return patch;
}

function bucketText(seconds) {
  const [size, unit] = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]].find(([each]) => seconds % each === 0);
  return `average of ${seconds / size} ${unit}`;
}

/** The newest value of a chart, and how old it is. */
export function showNewest(node, lines) {
  const newest = lines.map(({ newest: each }) => each).filter(Boolean).sort((a, b) => b.ts - a.ts)[0] ?? null;
  setText(node, newest ? formatValue(newest.value) : "–");
  node.title = newest ? `${newest.value}` : "";
  return newest;
}
