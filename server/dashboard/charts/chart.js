/** A chart of one metric over time: its lines, bands of smallest and largest values, limits, and where alerts fired. */

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { drawAlerts, drawBands, drawDots } from "./overlay.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short", hourCycle: "h23" });
const SECONDS = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 });
const REACH = 0.6; // a limit within so much of what is seen is seen too
const PARTS = 3; // columns of a line: its value, smallest, largest
const SHARED = ["mousemove", "mouseleave"]; // of the mouse, with the other charts: not what is drawn out
const LINEAR = uPlot.paths.linear();
const STEPPED = uPlot.paths.stepped({ align: 1 });

export const MOST_LINES = 8;

export class Chart {
  #box;
  #colours;
  #on;
  #plot = null;
  #window = [0, 1];
  #size = {};
  #now;

  lines = [];
  limits = [];
  alerts = []; // {severity, name, fired, resolved}, in seconds

  /** `on.zoom(from, to)` when a part was drawn out; `on.cursor(seconds or null, hovered, left in pixels)`. */
  constructor(box, colours, on) {
    this.#box = box;
    this.#colours = colours;
    this.#on = on;
  }

  show(lines) {
    this.lines = lines;
    this.end();
  }

  /** Learn how large the box is: to ask whenever it is drawn would make the browser lay out the page each time. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.#box;
    if (width === this.#size.width && height === this.#size.height) return;
    this.#size = { width, height };
    this.#plot?.setSize(this.#size);
  }

  get width() {
    return this.#size.width ?? 0;
  }

  /** Draw what is between two moments, in seconds. `now` ends alerts that still fire. */
  draw(from, to, now) {
    this.#window = [from, to];
    this.#now = now;
    if (!this.width || !this.lines.length) return;
    const tables = this.lines.map((line) => line.columns()).map(({ x, y, low, high }) => [x, y, low, high]);
    const data = tables.length === 1 ? tables[0] : uPlot.join(tables);
    if (!this.#plot) this.#plot = new uPlot(this.#options(), data, this.#box);
    else {
      this.#plot.batch(() => {
        this.#plot.setData(data, false);
        this.#plot.setScale("x", { min: from, max: to });
      });
    }
  }

  /** Give up what the browser holds for it; to draw it again makes it anew. */
  end() {
    this.#plot?.destroy();
    this.#plot = null;
  }

  #options() {
    const colours = this.#colours;
    const axis = { stroke: () => colours.muted, font: "11px system-ui, sans-serif", ticks: { show: false }, gap: 4 };
    return {
      ...this.#size,
      padding: [12, 16, 0, 0],
      legend: { show: false },
      scales: { x: { range: () => this.#window }, y: { range: (u, min, max) => this.#range(min, max) } },
      axes: [
        { ...axis, size: 24, space: 72, grid: { show: false }, values: timeTexts },
        { ...axis, size: 48, space: 32, grid: { stroke: () => colours.line, width: 1 }, values: valueTexts },
      ],
      series: [{}, ...this.lines.flatMap((line, place) => this.#columns(line, place))],
      bands: this.lines.map((line, place) => ({ series: [place * PARTS + 3, place * PARTS + 2], fill: () => colours.clouds[place] })),
      cursor: {
        y: false,
        points: { size: 7, show: (u, index) => index % PARTS === 1 && document.createElement("div") },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        bind: { dblclick: () => null },
        sync: { key: "charts", scales: ["x", null], filters: { pub: (type) => SHARED.includes(type) } },
      },
      hooks: {
        drawClear: [(u) => drawBands(u, this.limits, colours)],
        draw: [(u) => {
          drawAlerts(u, this.alerts, colours, this.#now);
          this.lines.forEach((line, place) => drawDots(u, line, colours.lines[place]));
        }],
        setSelect: [(u) => this.#selected(u)],
        setCursor: [({ cursor: { left }, over, posToVal }) => {
          if (left < 0) this.#on.cursor(null, false, 0);
          else this.#on.cursor(posToVal(left, "x"), over.matches(":hover"), left + over.offsetLeft);
        }],
      },
    };
  }

  #columns(line, place) {
    const bound = { stroke: "transparent", width: 0, points: { show: false } };
    const paths = (...details) => (line.columns().steps ? STEPPED : LINEAR)(...details);
    return [{ ...bound, stroke: () => this.#colours.lines[place], width: 1.5, paths }, bound, bound];
  }

  #selected(u) {
    const { left, width } = u.select;
    if (width < 2) return;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#on.zoom(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
  }

  /** The range of values: rounded, so that it rests while values move a little, and with the limits that are near. */
  #range(min, max) {
    if ((min ?? null) === null || max === null) return [0, 1];
    const reach = Math.max((max - min) * REACH, Math.abs(max) * 0.1);
    for (const { value } of this.limits) {
      if (value > max && value - max <= reach) max = value;
      if (value < min && min - value <= reach) min = value;
    }
    const span = max - min || Math.abs(max) * 0.1 || 1;
    const power = 10 ** Math.floor(Math.log10(span / 4));
    const step = power * [5, 2, 1].find((digit) => digit === 1 || digit * power <= span / 4);
    const low = Math.floor((min - span * 0.05) / step) * step;
    return [min >= 0 ? Math.max(0, low) : low, Math.ceil((max + span * 0.05) / step) * step];
  }
}

function timeTexts(u, splits, axis, space, step) {
  return splits.map((seconds) => {
    const moment = new Date(seconds * 1_000);
    const midnight = moment.getHours() === 0 && moment.getMinutes() === 0;
    return (step >= 86_400 || (midnight && step >= 60) ? DAY : step < 60 ? SECONDS : CLOCK).format(moment);
  });
}

function valueTexts(u, splits, axis, space, step) {
  const digits = [0, 1, 2, 3, 4, 5].find((each) => Math.abs(step * 10 ** each - Math.round(step * 10 ** each)) < 1e-6);
  return splits.map((value) => {
    if (Math.abs(value) >= 1e5) return COMPACT.format(value);
    return digits === undefined ? value.toExponential(1) : value.toFixed(digits);
  });
}
