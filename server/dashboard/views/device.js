/** One device: how it is, its metrics over time, and its alerts. */

import { frames } from "../charts/frames.js";
import { makeHistory } from "../charts/history.js";
import { palette } from "../charts/palette.js";
import { Panel } from "../charts/panel.js";
import { keyOf, Series } from "../charts/series.js";
import { moment, Span } from "../charts/span.js";
import { arrange, h } from "../dom.js";
import { deviceAlerts } from "./devicealerts.js";
import { absentDevice, deviceHead } from "./devicehead.js";
import { metricPicker } from "./metricpicker.js";
import { timeBar } from "./timebar.js";

export const title = ({ name }) => name;

const MOST_PANELS = 24; // that are shown unasked
const MAX_RATE = 5; // live values a second
const SETTLE_MS = 300; // Safari throws at too many changes

export async function mount(root, desk) {
  const { api, live, clock, params, query, navigate, signal } = desk;
  const device = params.name;
  const path = `/v1/devices/${encodeURIComponent(device)}`;
  const panels = new Map(); // metric → Panel
  const all = new Map(); // key → Series
  const charts = h("div.charts");
  let chosen = query.getAll("metric"); // none: the first ones
  let calm = new Span(); // the live span to go back to
  let writing;

  // What panels share: `span` is what is seen, `on` what viewers do to it, `want(panel)` has it drawn.
  const page = { device, api, clock, signal, span: Span.of(query), now: () => clock.now() / 1_000, want: frames(signal) };
  if (page.span.live) calm = page.span;
  page.on = {
    choose: (length) => show(new Span(length), true),
    between: (from, to) => show(Span.between(from, to), true),
    reset: () => show(calm, true),
    move: (share) => show(page.span.moved(share, page.now())),
    zoom: (factor, share = 0.5) => show(page.span.zoomed(factor, share)),
  };
  page.history = makeHistory(page, (series, state) => panels.get(series.metric).tell(series, state));

  const head = deviceHead(device);
  const timebar = timeBar(page.on, signal);
  const picker = metricPicker(choose, signal);
  const alerts = deviceAlerts(desk, device, judge);
  const absent = absentDevice(device);
  root.append(head.root, h("div.device-bar", timebar.root, picker.root), absent, charts, alerts.root);
  page.colours = palette(root, draw, signal);

  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) panels.get(target.dataset.metric).see(isIntersecting);
  }, { rootMargin: "150px" });
  const width = new ResizeObserver(() => panels.forEach((panel) => panel.see()));
  width.observe(charts);
  signal.addEventListener("abort", () => {
    clearTimeout(writing); // the address is another view's
    [sight, width].forEach((each) => each.disconnect());
  }, { once: true });

  function show(span, step = false) {
    if (span.live) calm = span;
    page.span = span;
    clearTimeout(writing);
    if (step) write(false);
    else writing = setTimeout(write, SETTLE_MS, true);
    page.history.moved();
    draw();
  }

  function choose(metrics) {
    chosen = metrics;
    write(false);
    settle();
  }

  function write(replace) {
    const said = new URLSearchParams(chosen.map((metric) => ["metric", metric]));
    page.span.write(said);
    navigate(`/devices/${encodeURIComponent(device)}?${said}`, { replace, stay: true });
  }

  function draw() {
    timebar.draw(page.span, page.now());
    panels.forEach((panel) => panel.want());
    head.draw([...all.values()], alerts.worst(), page.now());
  }

  function judge() {
    panels.forEach((panel) => panel.judge(alerts.marks(), alerts.rules()));
    head.draw([...all.values()], alerts.worst(), page.now());
  }

  function add(metric, labels) {
    const key = keyOf(metric, labels);
    if (all.has(key)) return all.get(key);
    const series = new Series(metric, labels);
    all.set(key, series);
    if (!panels.has(metric)) panels.set(metric, new Panel(metric, page));
    panels.get(metric).add(series);
    return series;
  }

  function settle() {
    const metrics = [...panels.keys()].sort();
    const wanted = chosen.filter((metric) => panels.has(metric));
    const shown = wanted.length ? wanted : metrics.slice(0, MOST_PANELS);
    for (const [metric, panel] of panels) {
      if (shown.includes(metric)) {
        sight.observe(panel.root);
        continue;
      }
      sight.unobserve(panel.root);
      panel.see(false);
    }
    arrange(charts, shown.map((metric) => panels.get(metric).root));
    picker.draw(metrics, shown);
    absent.hidden = metrics.length > 0;
    judge();
  }

  async function loadNewest() {
    const { metrics } = await api.get(`${path}/latest`);
    for (const [metric, items] of Object.entries(metrics)) {
      for (const { ts, value, labels } of [items].flat()) add(metric, labels).know(moment(ts), value);
    }
  }

  /** Whatever came while nobody listened is asked for: nothing was promised of it. */
  async function catchUp() {
    const release = live.hold();
    try {
      await Promise.all([page.history.catchUp(), all.size ? loadNewest() : null]);
    } catch (error) {
      if (error.status === undefined) throw error; // newest values come with the next readings, too
    } finally {
      release();
    }
    draw();
  }

  function hear({ readings }) {
    const before = all.size;
    for (const { metric, labels, ts, value } of readings) {
      add(metric, labels).live(ts, value);
      panels.get(metric).want();
    }
    if (all.size > before) settle();
  }

  // First of all: what comes while history is loaded is then in the one or in the other.
  live.subscribe(`readings:${device}`, { data: { max_rate: MAX_RATE }, onData: hear, onSubscribed: catchUp }, signal);
  clock.tick(draw, signal);
  draw();
  try {
    const { series } = await api.get(path);
    for (const { metric, labels } of series) add(metric, labels);
    await loadNewest();
  } catch (error) {
    if (error.status !== 404) throw error;
  }
  settle();
}
