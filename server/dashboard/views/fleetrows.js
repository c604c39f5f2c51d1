/** The devices as rows, of which only those near the screen exist. A row is a card where the screen is narrow. */

import { arrange, h, setAttribute, setShape, setText, shape, svg } from "../dom.js";
import { formatLabels, formatValue, showAge } from "../format.js";

const SPARE = 8; // rows beyond each edge of the screen, so that scrolling meets no hole
const STEPS = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
const SHAPES = { silent: "stale", fine: "live" };

/** `{root, show(devices), near(), tick(now)}`; `look()` follows when others come into sight. */
export function rowsOf(look, signal) {
  const heads = ["Device", "State", "Newest values, and the last hour", "Age"].map((head, place) =>
    h("span", { role: "columnheader", "aria-colspan": place === 2 && 3 }, head));
  const body = h("div", { class: "devices", role: "rowgroup" });
  const root = h("div", { class: "fleet-grid panel", role: "grid", "aria-label": "Devices; arrow keys move" },
    h("div", { role: "rowgroup", class: "heads" }, h("div", { role: "row" }, heads)), body);
  let [devices, rows] = [[], new Map()]; // rows by name
  let time; // the server's
  let held; // the name that Tab leads to: its row exists even out of sight
  const soon = () => requestAnimationFrame(() => signal.aborted || draw());
  for (const name of ["scroll", "resize"]) addEventListener(name, soon, { signal, passive: true });
  body.onclick = ({ target }) => target.closest("a") ?? target.closest(".device")?.link.click();
  body.onkeydown = move;
  body.addEventListener("focusin", ({ target }) => hold(target.textContent));
  return { root, show, tick, near: () => [...rows.keys()] };

  function show(wanted) {
    devices = wanted;
    setAttribute(root, "aria-rowcount", String(devices.length + 1));
    draw();
  }

  function tick(now) {
    time = now;
    for (const { age, drawn } of rows.values()) showAge(age, drawn.newest, now);
  }

  function draw() {
    const height = Number.parseFloat(getComputedStyle(body).scrollPaddingTop) || 50; // of a row: the style decides
    body.style.height = `${devices.length * height}px`;
    const above = -body.getBoundingClientRect().top / height;
    const below = above + innerHeight / height;
    if (!devices.some(({ device }) => device === held)) held = devices[0]?.device;
    const focused = document.activeElement;
    const before = rows;
    rows = new Map();
    devices.forEach((device, place) => {
      const name = device.device;
      if ((place < above - SPARE - 1 || place > below + SPARE) && name !== held) return;
      const row = before.get(name) ?? makeRow(name);
      rows.set(name, row);
      row.style.transform = `translateY(${place * height}px)`;
      setAttribute(row, "aria-rowindex", String(place + 2));
      if (row.drawn !== device || row.dataset.kind !== device.state) drawRow(row, device, time);
    });
    arrange(body, [...rows.values()]);
    if (focused.isConnected) focused.focus({ preventScroll: true }); // a row that is moved loses it
    hold(held);
    if ([...rows].some(([name, { drawn }]) => !before.has(name) && drawn.latest.some(({ spark }) => !spark))) look();
  }

  function hold(name) {
    held = name;
    for (const [other, { link }] of rows) link.tabIndex = other === name ? 0 : -1;
  }

  function move(event) {
    const step = STEPS[event.key];
    if (!step || event.altKey || event.ctrlKey) return;
    event.preventDefault();
    const place = devices.findIndex(({ device }) => device === held) + step;
    held = devices[Math.min(devices.length - 1, Math.max(0, place))].device;
    draw(); // now it exists, wherever it is, and the focus takes the screen there
    rows.get(held).link.focus();
  }
}

function makeRow(name) {
  const cell = (kind, ...children) => h("div", { class: kind, role: "gridcell" }, children);
  const small = (tag = "span") => h(tag, { class: "muted small" });
  const link = h("a", { href: `#/devices/${encodeURIComponent(name)}`, title: name }, name);
  const [metrics, state, age] = [small(), h("span"), small("time")];
  const cells = [0, 1, 2].map(() => cell("reading", small(), h("b"),
    svg("svg", { class: "spark", role: "img", viewBox: "0 0 90 24", preserveAspectRatio: "none" }, svg("path"))));
  const row = h("div", { class: "device", role: "row", "data-device": name },
    cell("name", link, metrics), cell("tag", shape("live"), state), cells, cell("", age));
  return Object.assign(row, { link, metrics, state, age, cells });
}

function drawRow(row, device, time) {
  const { latest, metrics, state } = device;
  row.drawn = device;
  showAge(row.age, device.newest, time);
  row.dataset.kind = state;
  setText(row.metrics, `${metrics} metric${metrics === 1 ? "" : "s"}`);
  setText(row.state, state[0].toUpperCase() + state.slice(1));
  setShape(row, SHAPES[state] ?? state);
  row.cells.forEach((cell, place) => {
    cell.hidden = !latest[place];
    if (cell.hidden) return;
    const { metric, labels, value, spark = [] } = latest[place];
    const [name, number, course] = cell.children;
    setText(name, metric);
    name.title = `${metric} ${formatLabels(labels)}`;
    setText(number, formatValue(value));
    number.title = value;
    drawCourse(course, metric, spark);
  });
}

/** The means as one path, null where there is none: a gap stays one, and one alone is a dot. */
function drawCourse(root, metric, means) {
  const there = means.filter(Number.isFinite);
  const [low, high] = [Math.min(...there), Math.max(...there)];
  const path = means.map((mean, place) => {
    const [before, after] = [means[place - 1], means[place + 1]].map(Number.isFinite);
    const y = high > low ? 22 - ((mean - low) / (high - low)) * 20 : 12;
    return mean === null ? "" : `${before ? "L" : "M"}${place * 3} ${y.toFixed(1)}${before || after ? "" : "h2"}`;
  });
  setAttribute(root.firstChild, "d", path.join(""));
  const said = there.length ? `${formatValue(low)} to ${formatValue(high)}` : "no readings";
  setAttribute(root, "aria-label", `${metric}, the last hour: ${said}`);
}
