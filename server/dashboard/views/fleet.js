/** The fleet: which devices there are, their newest values, and which of them need somebody. */

import { command, h, setAttribute, setShape, setText, shape } from "../dom.js";
import { formatCount, formatDuration } from "../format.js";
import { reasonFor } from "../signin.js";
import { fleetOf } from "./fleetdata.js";
import { rowsOf } from "./fleetrows.js";

export const title = "Fleet";

const GROUPS = { all: "devices", alerting: "alerting", silent: "silent", fine: "fine" };
const RANK = { critical: 0, warning: 1, info: 2, silent: 3, fine: 4 };
const SORTS = {
  state: ["Worst first", (a, b) => RANK[a.state] - RANK[b.state] || a.place - b.place],
  name: ["By name", (a, b) => a.place - b.place],
  // By whole seconds, or those that send all the time would swap all the time.
  age: ["Oldest first", (a, b) => a.newest.slice(0, 19).localeCompare(b.newest.slice(0, 19)) || a.place - b.place],
};
const PLAIN = { state: "all", q: "", sort: "state" };
const TOLD_AFTER_MS = 1_000; // a shorter interruption is not worth a word
let painted; // the mark is for whoever measures that

/** Draw it, and keep it up to date. */
export async function mount(root, { api, live, clock, alerts, query, navigate, signal }) {
  const chosen = { ...PLAIN, ...Object.fromEntries(query) };
  if (!GROUPS[chosen.state]) chosen.state = PLAIN.state;
  if (!SORTS[chosen.sort]) chosen.sort = PLAIN.sort;
  const fleet = fleetOf(api, clock, signal);
  const rows = rowsOf(fleet.look, signal);
  const [tiles, search, sort, told] = controls(chosen);
  const all = h("button.quiet", "Show all");
  const none = h("p.empty.muted", "No device matches. ", all);
  const empty = emptyState();
  root.append(h("h1.unseen", title), tiles,
    h("div.filters.fleet-bar", search, sort, told), rows.root, none, empty);
  let severities = new Map();

  const draw = () => {
    const counts = { all: fleet.devices.size, alerting: 0, silent: 0, fine: 0 };
    const words = chosen.q.trim().toLowerCase();
    const shown = [...fleet.devices.values()].filter((device) => {
      device.state = severities.get(device.device) ?? (device.silent ? "silent" : "fine");
      const group = device.state in counts ? device.state : "alerting";
      counts[group] += 1;
      return (chosen.state === "all" || chosen.state === group) && device.device.toLowerCase().includes(words);
    });
    for (const tile of tiles.children) {
      const { group } = tile.dataset;
      setText(tile.firstChild, fleet.whole ? formatCount(counts[group]) : "–");
      tile.classList.toggle("some", counts[group] > 0);
      setAttribute(tile, "aria-pressed", String(group === chosen.state));
    }
    empty.hidden = !fleet.whole || counts.all > 0;
    none.hidden = !fleet.whole || shown.length > 0 || !empty.hidden;
    rows.root.hidden = !shown.length;
    rows.show(shown.sort(SORTS[chosen.sort][1]));
    if (shown.length) painted ||= requestAnimationFrame(() => setTimeout(() => performance.mark("fleet-values")));
    tell();
  };
  const tell = () => {
    rows.tick(clock.now());
    tellAge(told, fleet, live, clock.now());
  };
  const choose = (what, replace) => {
    Object.assign(chosen, what);
    const said = new URLSearchParams(Object.entries(chosen).filter(([name, value]) => value !== PLAIN[name]));
    navigate(`/fleet${said.size ? `?${said}` : ""}`, { replace, stay: true });
    scrollTo(0, 0);
    draw();
  };

  for (const tile of tiles.children) tile.onclick = () => choose({ state: tile.dataset.group });
  search.oninput = () => choose({ q: search.value }, true);
  sort.onchange = () => choose({ sort: sort.value });
  all.onclick = () => choose({ state: "all", q: (search.value = "") });
  clock.tick(tell, signal);
  live.watch(tell, signal);
  alerts.watch(() => {
    severities = alerts.severities();
    draw();
  }, signal);
  await new Promise((resolve, reject) => fleet.run(rows.near, () => resolve(draw())).catch(reject));
}

function tellAge(told, { readAt, error }, { state }, now) {
  const age = formatDuration(now - readAt);
  const lost = error || (state.name !== "live" && now - state.since > TOLD_AFTER_MS);
  const why = error ? reasonFor(error) : state.name === "behind" ? "Catching up." : "Not connected.";
  const read = readAt ? `Read ${now - readAt < 5_000 ? "just now" : `${age} ago`}` : "Reading …";
  told.classList.toggle("old", Boolean(lost));
  setShape(told, lost ? "warning" : "live");
  setText(told.lastChild, !lost ? read : readAt ? `${why} What you see is ${age} old.` : why);
}

function controls(chosen) {
  const tiles = Object.entries(GROUPS).map(([group, label]) =>
    h("button", { class: "tile", "data-group": group }, h("b"), h("span", label)));
  const sorts = Object.entries(SORTS).map(([value, [label]]) => h("option", { value, selected: value === chosen.sort }, label));
  return [
    h("div", { class: "tiles", role: "group", "aria-label": "Filter" }, tiles),
    h("input", { type: "search", placeholder: "Find a device", "aria-label": "Find a device", value: chosen.q }),
    h("select", { "aria-label": "Order" }, sorts),
    h("p", { id: "freshness", class: "muted small" }, shape("live"), h("span")),
  ];
}

function emptyState() {
  const post = `curl ${location.origin}/v1/readings \\
  -H "Authorization: Bearer $(cat .sluice/admin.key)" \\
  -H "Content-Type: application/json" \\
  -d '{"device": "pump-7", "readings": [
    {"ts": '$(date +%s)000', "metric": "temperature", "value": 21.5}]}'`;
  return h("div", { class: "panel empty" },
    h("p", h("b", "No device has sent anything yet.")),
    h("p.muted", "Post a first reading; any key with the scope “ingest” will do:"), command(post),
    h("p.muted.small", "Or have a simulated fleet: ", h("code", "python3 dev.py up --demo")));
}
