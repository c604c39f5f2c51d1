/** How the node is: what comes in, what waits, how long it takes, what is refused, and whether its services answer. */

import { h, keyed, setAttribute, setShape, setText, shape, table } from "../dom.js";
import { formatDuration, formatValue } from "../format.js";
import { reasonFor } from "../signin.js";
import { Figures } from "./figures.js";
import { PANELS } from "./panels.js";
import { trace } from "./trace.js";

export const title = "System";

const POLL_MS = 2_000;
const FRESH_MS = 5_000;
const DOUBTED_MS = 10_000; // a sample that old says nothing of how services are now

export async function mount(root, { api, clock, signal }) {
  const source = h("p.muted.small", { "data-part": "source" }, "Asking …");
  const stalled = h("p.notice", { role: "status", hidden: true });
  const services = makeServices();
  const panels = PANELS.map(makePanel);
  const grid = h("div.figures", { hidden: true }, [services, ...panels].map((each) => each.root));
  root.append(h("header.view-head", h("h1", title), source), stalled, grid);

  const figures = new Figures();
  let due = 0;
  const drawSource = () => {
    const { latest } = figures;
    if (!latest) return;
    const age = clock.now() - latest.ms;
    setText(source, `Sluice ${latest.version} on ${latest.node}: all ${latest.workers.length} of its workers together, `
      + `${age < FRESH_MS ? "now" : `as of ${formatDuration(age)} ago`}. Rates are of the last 10 s.`);
    source.classList.toggle("stale", age >= FRESH_MS);
    if (age >= DOUBTED_MS) services.doubt();
  };
  const look = async () => {
    due = Infinity;
    try {
      if (figures.add(await api.get("/v1/system"))) [services, ...panels].forEach((each) => each.draw(figures));
      grid.hidden = false;
      stalled.hidden = true;
      due = performance.now() + POLL_MS / 2; // the clock ticks once a second
    } catch (error) {
      if (error.status === undefined) throw error;
      setText(stalled, `${reasonFor(error)} The page keeps trying; what it shows was read before.`);
      stalled.hidden = false;
      due = performance.now() + Math.max(POLL_MS, error.retryAfterMs);
    }
    drawSource();
  };
  clock.tick(() => {
    drawSource();
    if (performance.now() >= due) look();
  }, signal);
  await look();
}

function makeServices() {
  const lines = new Map(["PostgreSQL", "Redis"].map((name) =>
    [name, h("p.service", { "data-service": name }, shape("connecting"), h("b", name), h("span"))]));
  const show = (name, well, text) => {
    const line = lines.get(name);
    setAttribute(line, "data-well", String(well));
    setShape(line, { true: "resolved", false: "warning" }[well] ?? "connecting");
    setText(line.lastChild, text);
  };
  const draw = ({ latest: { asked, redis, workers } }) => {
    show("PostgreSQL", asked.ready, asked.ready ? `ready; answered worker ${asked.worker} in ${formatValue(asked.check_ms)} ms` : asked.reason);
    const whole = redis.hearing >= workers.length;
    show("Redis", whole, `${redis.hearing} of ${workers.length} workers hear each other through it`
      + (whole ? "" : "; alerts and values go by PostgreSQL meanwhile, up to 2 s later"));
  };
  /** What is shown is of before: nobody knows how it is now. */
  const doubt = () => lines.forEach((line, name) =>
    show(name, "unknown", `not known; before: ${line.lastChild.textContent.replace("not known; before: ", "")}`));
  return { root: h("section.panel.figure.services", h("h2", "Services"), ...lines.values()), draw, doubt };
}

function makePanel({ title: name, note, facts = [], trace: course, columns, empty, rows }) {
  const figure = (tag, [label, read, id]) => ({ label, read, node: h(tag, { "data-figure": id, class: label ? null : "large" }) });
  const shown = facts.map((fact) => figure(fact[0] ? "dd" : "p", fact));
  const line = course && trace(course.label, course.format, { ...course, count: course.measures.length });
  const cells = rows && makeTable(name, columns, empty);
  const list = shown.filter(({ label }) => label).map(({ label, node }) => h("div", h("dt", label), node));
  const root = h("section.panel.figure", h("h2", name), shown.find(({ label }) => !label)?.node, line?.root, cells?.nodes,
    list.length > 0 && h("dl", list), note && h("p.muted.small", note));
  const draw = (figures) => {
    for (const { read, node } of shown) setText(node, read(figures));
    line?.draw(course.measures.map((measure) => figures.course(measure)), figures.latest.ms);
    cells?.draw(rows(figures));
  };
  return { root, draw };
}

function makeTable(name, columns, empty) {
  const body = h("tbody");
  const scroll = h("div.scroll", { tabindex: "0", role: "group", "aria-label": name }, table(columns, body));
  const nothing = h("p.muted", empty);
  const drawRows = keyed(body, ({ id, cells }) => {
    const row = h("tr", h("th", { scope: "row" }, id), cells.map(() => h("td")));
    return { row, draw: (item) => {
      row.title = item.hint;
      item.cells.forEach((cell, place) => setText(row.children[place + 1], cell));
    } };
  });
  const draw = (rows) => {
    drawRows(rows);
    scroll.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
  };
  return { nodes: [scroll, nothing], draw };
}
