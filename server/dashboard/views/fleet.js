/** The fleet: which devices there are, their newest values, and which of them need somebody. */

import { byId, command, h, setText } from "../dom.js";
import { formatDuration } from "../format.js";
import { reasonFor } from "../signin.js";
import { DeviceCards } from "./cards.js";
import { Fleet } from "./poll.js";

export const title = "Fleet";

const FILTERS = { all: "devices", fresh: "reporting", stale: "stale", firing: "alerting" };

/** Draw it, and keep it up to date. */
export async function mount(root, { api, clock, alerts, signal }) {
  root.append(...frame(signal));
  const fleet = new Fleet(api, clock, signal);
  await fleet.load();
  const cards = new DeviceCards(fleet, () => clock.now(), signal);
  cards.draw();
  alerts.watch(() => cards.mark(alerts.severities()), signal);
  const tick = () => {
    cards.tick();
    const age = clock.now() - fleet.updatedAt;
    setText(byId("freshness"), age < 5_000 ? "updated just now" : `updated ${formatDuration(age)} ago`);
  };
  clock.tick(tick, signal);
  fleet.poll((error) => {
    byId("stalled").hidden = !error;
    if (error) setText(byId("stalled"), `${reasonFor(error)} The page keeps trying; what it shows was read before.`);
    cards.draw();
    tick();
  });
}

function frame(signal) {
  const tiles = Object.entries(FILTERS).map(([filter, label]) =>
    h("button", { type: "button", class: "tile", "data-filter": filter, "aria-pressed": String(filter === "all") },
      h("b", {}, "–"), h("span", {}, label)));
  const reading = `{"device": "pump-7", "readings": [\n`
    + `    {"ts": '$(date +%s)000', "metric": "temperature", "value": 21.5}]}`;
  const post = `curl -X POST ${location.origin}/v1/readings \\\n  -H "Authorization: Bearer $KEY" \\\n`
    + `  -H "Content-Type: application/json" \\\n  -d '${reading}'`;
  return [
    h("h1", { class: "unseen" }, title),
    h("p", { id: "stalled", class: "notice", role: "status", hidden: true }),
    h("div", { class: "tiles", role: "group", "aria-label": "Which devices are shown" }, tiles),
    h("div", { class: "fleet-head" },
      h("span", { id: "freshness", class: "muted small" }),
      h("input", {
        id: "search", type: "search", placeholder: "Find a device", "aria-label": "Find a device by name",
        autocomplete: "off", spellcheck: "false",
      })),
    h("ul", { id: "devices", class: "cards" }),
    h("div", { id: "devices-empty", class: "panel empty", hidden: true },
      h("p", {}, h("b", {}, "No device has sent anything yet.")),
      h("p", { class: "muted" }, "Post a first reading, with an admin or ingest key in ", h("code", {}, "$KEY"),
        ". The device appears here within 2 seconds."),
      command(post, signal),
      h("p", { class: "muted small" }, "No device at hand? ", h("code", {}, "python3 dev.py up --demo"),
        " brings a simulated fleet.")),
    h("p", { id: "devices-none", class: "empty muted", hidden: true }, "No device matches. ",
      h("button", { type: "button", class: "quiet", id: "show-all" }, "Show all")),
  ];
}
