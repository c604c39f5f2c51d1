/** The alerts: what fires, what is over. */

import { command, h, shape } from "../dom.js";
import { AlertList } from "./alertlist.js";

export const title = "Alerts";

/** Draw them, and keep them up to date. */
export async function mount(root, { clock, alerts, signal }) {
  root.append(...frame(signal));
  const list = new AlertList(alerts, () => clock.now());
  alerts.watch(() => list.draw(), signal);
  clock.tick(() => list.tick(), signal);
  const missing = alerts.firing.size === 0 && !(await alerts.hasRules());
  if (!signal.aborted) list.showFirstRule(missing);
}

function frame(signal) {
  const rule = `{"name": "Overheating", "device": "*", "metric": "temperature",\n`
    + `    "condition": {"type": "threshold", "levels": [\n      {"severity": "warning", "above": 70, "clear": 65},\n`
    + `      {"severity": "critical", "above": 80, "clear": 75}]}}`;
  const post = `curl -X POST ${location.origin}/v1/rules \\\n  -H "Authorization: Bearer $KEY" \\\n`
    + `  -H "Content-Type: application/json" \\\n  -d '${rule}'`;
  const count = (state) => h("span", { class: "count", "data-count": state }, "0");
  return [
    h("h1", { class: "unseen" }, title),
    h("section", { class: "panel", "aria-labelledby": "firing-title" },
      h("h2", { id: "firing-title" }, "Firing ", count("firing")),
      h("ul", { id: "firing", class: "alert-list" }),
      h("p", { id: "firing-unsure", class: "empty muted", hidden: true }, "Not connected: this is what was last heard."),
      h("div", { id: "firing-empty", class: "empty" },
        h("p", {}, shape("resolved"), h("b", {}, "Nothing is firing.")),
        h("p", { class: "muted", id: "firing-hint" }, "An alert appears here the moment it fires."),
        h("div", { id: "first-rule", hidden: true },
          h("p", { class: "muted" }, "There is no rule yet. With an admin key in ", h("code", {}, "$KEY"),
            ", this makes one:"),
          command(post, signal)))),
    h("section", { class: "panel", "aria-labelledby": "resolved-title" },
      h("h2", { id: "resolved-title" }, "Resolved ", count("resolved")),
      h("ul", { id: "resolved", class: "alert-list" }),
      h("p", { id: "resolved-empty", class: "empty muted" }, "The last 50 alerts that were resolved will be here.")),
  ];
}
