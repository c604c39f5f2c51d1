/** One device: how it is, its metrics over time, and its alerts. */

import { arrange, h } from "../dom.js";
import { Frames } from "../charts/frames.js";
import { History } from "../charts/history.js";
import { Palette } from "../charts/palette.js";
import { Panel } from "../charts/panel.js";
import { keyOf, Series } from "../charts/series.js";
import { moment, Span } from "../charts/span.js";
import { DeviceAlerts } from "./devicealerts.js";
import { absentDevice, DeviceHead } from "./devicehead.js";
import { MetricPicker } from "./metricpicker.js";
import { TimeBar } from "./timebar.js";

export const title = ({ name }) => name;

const MOST_PANELS = 24; // that are shown unasked
const MAX_RATE = 5; // live values a second

/** Draw it, and keep it up to date. */
export async function mount(root, desk) {
  await new DevicePage(root, desk).open();
}

class DevicePage {
  #desk;
  #name;
  #span;
  #calm = new Span(); // the live span to go back to
  #chosen; // metrics; none: the first ones
  #panels = new Map(); // metric → Panel
  #series = new Map(); // key → Series
  #charts = h("div", { class: "charts" });
  #shared; // what panels share
  #sight;
  #frames;
  #history;
  #head;
  #timebar;
  #picker;
  #alerts;
  #absent;

  constructor(root, desk) {
    const { api, live, clock, params, query, signal } = desk;
    this.#desk = desk;
    this.#name = params.name;
    this.#span = Span.of(query);
    if (this.#span.live) this.#calm = this.#span;
    this.#chosen = query.getAll("metric");
    const on = this.#acts();
    this.#head = new DeviceHead(this.#name);
    this.#timebar = new TimeBar(on, signal);
    this.#picker = new MetricPicker((metrics) => this.#choose(metrics), signal);
    this.#alerts = new DeviceAlerts(desk, this.#name, () => this.#judge());
    this.#absent = absentDevice(this.#name, signal);
    root.append(this.#head.root, h("div", { class: "device-bar" }, this.#timebar.root, this.#picker.root),
      this.#absent, this.#charts, this.#alerts.root);
    this.#frames = new Frames(signal);
    this.#history = new History(api, this.#name, clock, this.#span, {
      changed: (series) => this.#panels.get(series.metric).want(),
      state: (series, state) => this.#panels.get(series.metric).tell(series, state),
    }, signal);
    this.#shared = {
      device: this.#name,
      now: () => this.#now,
      span: () => this.#span,
      palette: new Palette(root, () => this.#draw(), signal),
      frames: this.#frames,
      history: this.#history,
      on,
      signal,
    };
    this.#watchSight(signal);
    // First of all: what comes while history is loaded is then in the one or in the other.
    const onReadings = (readings) => this.#hear(readings);
    live.readings(this.#name, { maxRate: MAX_RATE, onReadings, onSubscribed: () => this.#catchUp() }, signal);
    this.#alerts.start(live, clock, signal);
    clock.tick(() => this.#draw(), signal);
    this.#draw();
  }

  /** Load which series there are, and their newest values; what lies behind these is loaded when it is seen. */
  async open() {
    try {
      const { series } = await this.#desk.api.get(this.#path);
      for (const { metric, labels } of series) this.#add(metric, labels);
      await this.#loadNewest();
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    this.#arrange();
  }

  get #path() {
    return `/v1/devices/${encodeURIComponent(this.#name)}`;
  }

  get #now() {
    return this.#desk.clock.now() / 1_000;
  }

  #acts() {
    return {
      choose: (length) => this.#show(new Span(length), true),
      between: (from, to) => this.#show(Span.between(from, to), true),
      reset: () => this.#show(this.#calm, true),
      move: (share) => this.#show(this.#span.moved(share, this.#now)),
      zoom: (factor, share = 0.5) => {
        const [from, to] = this.#span.bounds(this.#now);
        this.#show(this.#span.zoomed(factor, from + share * (to - from), this.#now));
      },
    };
  }

  async #loadNewest() {
    const { metrics } = await this.#desk.api.get(`${this.#path}/latest`);
    for (const [metric, items] of Object.entries(metrics)) {
      for (const { ts, value, labels } of [items].flat()) this.#add(metric, labels).know(moment(ts), value);
    }
  }

  /** Whatever came while nobody listened is asked for: nothing was promised of it. */
  async #catchUp() {
    const release = this.#desk.live.hold();
    try {
      await Promise.all([this.#history.catchUp(), this.#series.size ? this.#loadNewest() : null]);
    } catch (error) {
      if (error.status === undefined) throw error; // newest values come with the next readings, too
    } finally {
      release();
    }
    this.#draw();
  }

  #hear(readings) {
    const before = this.#series.size;
    for (const { metric, labels, ts, value } of readings) {
      this.#add(metric, labels).live(ts, value);
      this.#panels.get(metric).want();
    }
    if (this.#series.size > before) this.#arrange();
  }

  #add(metric, labels) {
    const key = keyOf(metric, labels);
    const known = this.#series.get(key);
    if (known) return known;
    const series = new Series(metric, labels);
    this.#series.set(key, series);
    if (!this.#panels.has(metric)) this.#panels.set(metric, new Panel(metric, this.#shared));
    this.#panels.get(metric).add(series);
    return series;
  }

  /** See another span; `step`: one that the way back leads to. */
  #show(span, step = false) {
    if (span.live) this.#calm = span;
    this.#span = span;
    this.#write(!step);
    this.#history.show(span);
    this.#draw();
  }

  #choose(metrics) {
    this.#chosen = metrics;
    this.#write(false);
    this.#arrange();
  }

  #write(replace) {
    const query = new URLSearchParams(this.#chosen.map((metric) => ["metric", metric]));
    this.#span.write(query);
    this.#desk.navigate(`/devices/${encodeURIComponent(this.#name)}?${query}`, { replace, stay: true });
  }

  #watchSight(signal) {
    this.#sight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.#panels.get(target.dataset.metric).see(isIntersecting);
    }, { rootMargin: "150px" });
    const width = new ResizeObserver(() => this.#panels.forEach((panel) => panel.resized()));
    width.observe(this.#charts);
    signal.addEventListener("abort", () => [this.#sight, width].forEach((each) => each.disconnect()), { once: true });
  }

  #arrange() {
    const metrics = [...this.#panels.keys()].sort();
    const chosen = this.#chosen.filter((metric) => this.#panels.has(metric));
    const shown = chosen.length ? chosen : metrics.slice(0, MOST_PANELS);
    for (const [metric, panel] of this.#panels) {
      if (shown.includes(metric)) this.#sight.observe(panel.root);
      else {
        this.#sight.unobserve(panel.root);
        panel.see(false);
      }
    }
    arrange(this.#charts, shown.map((metric) => this.#panels.get(metric).root));
    this.#picker.draw(metrics, shown);
    this.#absent.hidden = metrics.length > 0;
    this.#judge();
  }

  /** What alerts and rules say may have changed. */
  #judge() {
    for (const panel of this.#panels.values()) panel.judge(this.#alerts.marks, this.#alerts.rules);
    this.#drawHead();
  }

  #draw() {
    this.#timebar.draw(this.#span, this.#now);
    for (const panel of this.#panels.values()) panel.want();
    this.#drawHead();
  }

  #drawHead() {
    this.#head.draw([...this.#series.values()], this.#alerts.worst, this.#now);
  }
}
