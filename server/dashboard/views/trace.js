/** A small course of the last minutes, in plain SVG. */

import { h, setAttribute, setText, svg } from "../dom.js";
import { formatDuration } from "../format.js";

const WIDTH = 300;
const HEIGHT = 56;
const SPAN_MS = { least: 60_000, most: 300_000 }; // it begins narrow, so that a view just opened shows something

/** Gives `root`, and `draw(series, now)` of `[{ms, value}]` for each line; `least` is of the top of its scale. */
export function trace(label, format, { count = 1, note = "", least = 0 }) {
  const area = svg("polygon", { class: "area" });
  const lines = Array.from({ length: count }, (_, place) => svg("polyline", { class: `line-${place + 1}` }));
  const [ago, most] = [h("span"), h("span")];
  const root = h("div.trace",
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, area, lines),
    h("p.scale.muted", { "aria-hidden": "true" }, ago, h("span", note), most));
  const draw = (series, now) => {
    const peak = Math.max(0, ...series.flat().map(({ value }) => value ?? 0));
    const top = Math.max(peak, least) || 1;
    const span = Math.min(SPAN_MS.most, Math.max(SPAN_MS.least, now - (series[0][0]?.ms ?? now)));
    setText(ago, `${formatDuration(span)} ago`);
    setText(most, `peak ${format(peak)}`);
    for (const [place, line] of lines.entries()) {
      const points = series[place]
        .filter(({ ms, value }) => value !== null && now - ms <= span)
        .map(({ ms, value }) => [WIDTH * (1 - (now - ms) / span), HEIGHT - 1 - (value / top) * (HEIGHT - 3)].map((at) => at.toFixed(1)));
      setAttribute(line, "points", points.join(" "));
      if (place || !points.length) continue;
      setAttribute(area, "points", `${points[0][0]},${HEIGHT} ${points.join(" ")} ${points.at(-1)[0]},${HEIGHT}`);
    }
  };
  return { root, draw };
}
