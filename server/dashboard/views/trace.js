/** A small chart of what a figure was: lines over the last minutes, in plain SVG. */

import { h, setAttribute, setText, svg } from "../dom.js";
import { formatDuration } from "../format.js";

const WIDTH = 300;
const HEIGHT = 56;
const SPAN_MS = { least: 60_000, most: 300_000 }; // it begins narrow, so that a view just opened shows something

export class Trace {
  #lines;
  #area;
  #most;
  #ago = h("span", {});
  #format;

  /** What to put into the document. */
  root;

  /** @param {string} label for those who do not see it  @param {Function} format writes the largest value  */
  constructor(label, format, { lines = 1, note = "" } = {}) {
    this.#format = format;
    this.#area = svg("polygon", { class: "area" });
    this.#lines = Array.from({ length: lines }, (_, place) => svg("polyline", { class: `line-${place + 1}` }));
    const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label };
    const drawn = svg("svg", box, this.#area, this.#lines);
    this.#most = h("span", {});
    const scale = h("p", { class: "scale muted", "aria-hidden": "true" }, this.#ago, h("span", {}, note), this.#most);
    this.root = h("div", { class: "trace" }, drawn, scale);
  }

  /** Draw `[{ms, value}]` for each line; where a value is null, it goes on from the one before. `least`: of the scale's top. */
  draw(series, now, least = 0) {
    const peak = series.flat().reduce((high, { value }) => Math.max(high, value ?? 0), 0);
    const most = Math.max(peak, least) || 1;
    const span = Math.min(SPAN_MS.most, Math.max(SPAN_MS.least, now - (series[0][0]?.ms ?? now)));
    setText(this.#ago, `${formatDuration(span)} ago`);
    setText(this.#most, `peak ${this.#format(peak)}`);
    for (const [place, line] of this.#lines.entries()) {
      const points = series[place]
        .filter(({ ms, value }) => value !== null && now - ms <= span)
        .map(({ ms, value }) => [WIDTH * (1 - (now - ms) / span), HEIGHT - 1 - (value / most) * (HEIGHT - 3)]);
      const text = points.map((point) => point.map((number) => number.toFixed(1)).join(",")).join(" ");
      setAttribute(line, "points", text);
      if (place || !points.length) continue;
      const [first, last] = [points[0][0].toFixed(1), points.at(-1)[0].toFixed(1)];
      setAttribute(this.#area, "points", `${first},${HEIGHT} ${text} ${last},${HEIGHT}`);
    }
  }
}
