/** The alerts: what fires, the worst first, and what is over. What is chosen stands in the address. */

import { byId, h, setText, shape } from "../dom.js";
import { AlertHistory } from "../history.js";
import { AlertList } from "./alertlist.js";

export const title = "Alerts";

const SEVERITIES = ["critical", "warning", "info"];

/** Draw them, and keep them up to date. */
export async function mount(root, desk) {
  const { clock, alerts, api, query, navigate, signal } = desk;
  const chosen = { severity: query.get("severity") ?? "", device: query.get("device") ?? "", rule: query.get("rule") ?? "" };
  root.append(...frame(chosen));
  const past = new AlertHistory(api);
  const firing = new AlertList(byId("firing"), desk);
  const resolved = new AlertList(byId("resolved"), desk);

  const draw = () => {
    const shown = alerts.firingInOrder().filter((alert) => matches(alert, chosen));
    firing.draw(shown);
    resolved.draw(past.inOrder(alerts.resolved, (alert) => matches(alert, chosen)));
    setText(byId("firing-count"), shown.length === alerts.firing.size ? `${shown.length}` : `${shown.length} of ${alerts.firing.size}`);
    showEmpty(shown.length, alerts);
    byId("older").hidden = !past.more;
    byId("resolved-empty").hidden = byId("resolved").childElementCount > 0;
  };
  const reload = () => past.begin(chosen).then(draw);

  wireFilters(chosen, signal, () => {
    const said = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
    navigate(`/alerts${said.size ? `?${said}` : ""}`, { replace: true, stay: true });
    draw();
    return reload();
  });
  byId("older").addEventListener("click", () => past.older().then(draw), { signal });
  alerts.watch(draw, signal);
  clock.tick(() => firing.tick(), signal);
  await reload();
  const missing = alerts.firing.size === 0 && !(await alerts.hasRules());
  if (signal.aborted) return;
  byId("first-rule").hidden = !missing;
  byId("firing-hint").hidden = missing;
}

/** Whether an alert is one of those asked for; of the device, `*` and `?` are wildcards. */
function matches(alert, { severity, device, rule }) {
  if (severity && alert.severity !== severity) return false;
  if (rule && String(alert.rule.id) !== rule) return false;
  return !device || globbed(device).test(alert.device);
}

function globbed(glob) {
  const escaped = glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  return new RegExp(`^${escaped}$`, "su");
}

function wireFilters(chosen, signal, changed) {
  let timer;
  const form = byId("filters");
  const take = () => {
    const values = new FormData(form);
    Object.assign(chosen, { severity: values.get("severity"), device: values.get("device").trim() });
    return changed();
  };
  form.addEventListener("change", take, { signal });
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(take, 300);
  }, { signal });
  form.addEventListener("submit", (event) => event.preventDefault(), { signal });
  byId("any-rule").addEventListener("click", () => {
    chosen.rule = "";
    byId("of-rule").hidden = true;
    changed();
  }, { signal });
}

function showEmpty(shown, alerts) {
  const { sure, firing } = alerts;
  byId("firing-unsure").hidden = sure;
  byId("firing-empty").hidden = shown > 0;
  const nothing = firing.size ? "Nothing that you chose is firing." : sure ? "Nothing is firing." : "Nothing was firing.";
  setText(byId("firing-empty").querySelector("b"), nothing);
  byId("firing-empty").querySelector("svg").classList.toggle("ok", sure);
}

function frame(chosen) {
  return [
    h("div", { class: "view-head" }, h("h1", {}, title), filters(chosen)),
    h("section", { class: "panel", "aria-labelledby": "firing-title" },
      h("h2", { id: "firing-title" }, "Firing ", h("span", { class: "count", id: "firing-count" }, "0")),
      h("ul", { id: "firing", class: "alert-list" }),
      h("p", { id: "firing-unsure", class: "empty muted", hidden: true }, "Not connected: this is what was last heard."),
      h("div", { id: "firing-empty", class: "empty" },
        h("p", {}, shape("resolved"), h("b", {}, "Nothing is firing.")),
        h("p", { class: "muted", id: "firing-hint" }, "An alert appears here the moment it fires."),
        h("p", { id: "first-rule", hidden: true }, "There is no rule yet. ", h("a", { href: "#/rules/new" }, "Make the first one")))),
    h("section", { class: "panel", "aria-labelledby": "resolved-title" },
      h("h2", { id: "resolved-title" }, "Resolved"),
      h("ul", { id: "resolved", class: "alert-list" }),
      h("p", { id: "resolved-empty", class: "empty muted" }, "What was resolved will be here, the newest first."),
      h("button", { type: "button", class: "quiet", id: "older", hidden: true }, "Show older")),
  ];
}

function filters({ severity, device, rule }) {
  const option = (value, name) => h("option", { value, selected: value === severity }, name);
  return h("form", { id: "filters", class: "filters", role: "search" },
    h("label", {}, h("span", { class: "unseen" }, "Severity"),
      h("select", { name: "severity" }, option("", "Any severity"), SEVERITIES.map((name) => option(name, name)))),
    h("label", {}, h("span", { class: "unseen" }, "Device"),
      h("input", { name: "device", type: "search", value: device, placeholder: "Device, such as pump-*", autocomplete: "off" })),
    h("span", { id: "of-rule", class: "chosen", hidden: !rule }, `Rule ${rule} `,
      h("button", { type: "button", class: "quiet", id: "any-rule" }, "Show all rules")));
}
