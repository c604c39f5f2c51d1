/** A chart of one metric over time: its lines, bands of smallest and largest values, limits, and where alerts fired. */

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { drawAlerts, drawBands, drawDots } from "./overlay.js";

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const SECONDS = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 });
const AXIS_PX = 48;
const REACH = 0.6; // a limit within so much of what is seen is seen too
const PARTS = 3; // columns of a line: its value, smallest, largest
const FONT = "11px system-ui, sans-serif";
const SHARED = new Set(["mousemove", "mouseleave"]); // of the mouse, with the other charts: not what is drawn out
const LINEAR = uPlot.paths.linear();
const STEPPED = uPlot.paths.stepped({ align: 1 });

/** As many lines as there are colours. */
export const MOST_LINES = 8;

export class Chart {
  #box;
  #palette;
  #on;
  #plot = null;
  #window = [0, 1];
  #size = { width: 0, height: 0 };
  #sized = false;

  lines = [];
  limits = [];
  alerts = []; // {severity, fired, resolved}, in seconds

  /**
   * @param {HTMLElement} box is filled  @param {Palette} palette the theme's colours
   * @param {{zoom: Function, cursor: Function}} on `zoom(from, to)` when a part was drawn out;
   *   `cursor(seconds, hovered, left)` with seconds null where there is no cursor, `left` in pixels of the box
   */
  constructor(box, palette, on) {
    this.#box = box;
    this.#palette = palette;
    this.#on = on;
  }

  /** The part that the mouse is over, once something was drawn. */
  get over() {
    return this.#plot?.over ?? null;
  }

  /** Show other lines: `Series`, at most `MOST_LINES`. */
  show(lines) {
    this.lines = lines;
    this.end();
  }

  /** Learn how large the box is: to ask whenever it is drawn would make the browser lay out the page each time. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.#box;
    if (width === this.#size.width && height === this.#size.height) return;
    this.#size = { width, height };
    this.#sized = false;
  }

  get width() {
    return this.#size.width;
  }

  /** Draw what is between two moments, in seconds. `now` ends alerts that still fire. */
  draw(from, to, now) {
    this.#window = [from, to];
    this.now = now;
    if (!this.width || !this.lines.length) return;
    if (!this.#plot) this.#plot = new uPlot(this.#options(), this.#data(), this.#box);
    else {
      this.#plot.batch(() => {
        if (!this.#sized) this.#plot.setSize(this.#size);
        this.#plot.setData(this.#data(), false);
        this.#plot.setScale("x", { min: from, max: to });
      });
    }
    this.#sized = true;
  }

  /** Give up what the browser holds for it; to draw it again makes it anew. */
  end() {
    this.#plot?.destroy();
    this.#plot = null;
  }

  #data() {
    const tables = this.lines.map((line) => {
      const { x, y, low, high } = line.columns();
      return [x, y, low, high];
    });
    return tables.length === 1 ? tables[0] : uPlot.join(tables);
  }

  #options() {
    const { colours } = this.#palette;
    const axis = { stroke: () => colours.muted, font: FONT, ticks: { show: false } };
    const grid = { stroke: () => colours.line, width: 1 };
    return {
      ...this.#size,
      padding: [12, 16, 0, 0],
      legend: { show: false },
      scales: { x: { range: () => this.#window }, y: { range: (u, min, max) => this.#range(min, max) } },
      axes: [
        { ...axis, size: 24, gap: 4, space: 72, grid: { show: false }, values: timeTexts },
        { ...axis, size: AXIS_PX, gap: 4, space: 32, grid, values: valueTexts },
      ],
      series: [{}, ...this.lines.flatMap((line, place) => this.#columns(line, place))],
      bands: this.lines.map((line, place) => ({
        series: [place * PARTS + 3, place * PARTS + 2],
        fill: () => colours.clouds[place],
      })),
      cursor: {
        y: false,
        points: { size: 7, show: (u, index) => index % PARTS === 1 && document.createElement("div") },
        drag: { x: true, y: false, setScale: false, dist: 6 },
        bind: { dblclick: () => null },
        sync: { key: "charts", scales: ["x", null], filters: { pub: (type) => SHARED.has(type) } },
      },
      hooks: {
        drawClear: [(u) => drawBands(u, this.limits, colours)],
        draw: [(u) => this.#drawOver(u)],
        setSelect: [(u) => this.#selected(u)],
        setCursor: [(u) => this.#moved(u)],
      },
    };
  }

  #columns(line, place) {
    const { colours } = this.#palette;
    const bound = { stroke: "transparent", width: 0, points: { show: false } };
    const paths = (...details) => (line.columns().steps ? STEPPED : LINEAR)(...details);
    const value = { stroke: () => colours.lines[place], width: 1.5, points: { show: false }, paths };
    return [value, bound, bound];
  }

  #drawOver(u) {
    const { colours } = this.#palette;
    drawAlerts(u, this.alerts, colours, this.now);
    this.lines.forEach((line, place) => drawDots(u, line, colours.lines[place]));
  }

  #selected(u) {
    const { left, width } = u.select;
    if (width < 2) return;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#on.zoom(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
  }

  #moved(u) {
    const { left } = u.cursor;
    if (left < 0) this.#on.cursor(null, false, 0);
    else this.#on.cursor(u.posToVal(left, "x"), u.over.matches(":hover"), left + u.over.offsetLeft);
  }

  /** The range of values: rounded, so that it rests while values move a little, and with the limits that are near. */
  #range(min, max) {
    if (min === null || max === null || min === undefined) return [0, 1];
    const reach = Math.max((max - min) * REACH, Math.abs(max) * 0.1);
    for (const { value } of this.limits) {
      if (value > max && value - max <= reach) max = value;
      if (value < min && min - value <= reach) min = value;
    }
    const span = max - min || Math.abs(max) * 0.1 || 1;
    const step = rounded(span / 4);
    const low = Math.floor((min - span * 0.05) / step) * step;
    return [min >= 0 ? Math.max(0, low) : low, Math.ceil((max + span * 0.05) / step) * step];
  }
}

/** 1, 2 or 5 times a power of ten, not more than the number. */
function rounded(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [5, 2, 1].find((digit) => digit * power <= number) * power || 1;
}

function timeTexts(u, splits, axis, space, step) {
  return splits.map((seconds) => {
    const moment = new Date(seconds * 1_000);
    if (step >= 86_400 || (moment.getHours() === 0 && moment.getMinutes() === 0 && step >= 60)) return DAY.format(moment);
    return (step < 60 ? SECONDS : CLOCK).format(moment);
  });
}

function valueTexts(u, splits, axis, space, step) {
  const digits = [0, 1, 2, 3, 4, 5].find((each) => Math.abs(step * 10 ** each - Math.round(step * 10 ** each)) < 1e-6) ?? 6;
  return splits.map((value) => {
    const size = Math.abs(value);
    if (size >= 1e5) return COMPACT.format(value);
    return digits > 5 ? value.toExponential(1) : value.toFixed(digits);
  });
}
