/** The alerts of one device: what fires, what was over last; and the rules that are about it. */

import { SEVERITY_RANK } from "../alerts.js";
import { h, setText, shape } from "../dom.js";
import { alertList } from "./alertlist.js";

const MOST = 100;
const SHOWN = 8; // of those that are over
const AGAIN_MS = { alerts: 60_000, rules: 30_000 }; // nobody tells of changes of rules
const RETRY_MS = 5_000;

/** Gives `root`, `rules()`, `worst()` (the severity that fires, or "") and `marks()`, as charts take alerts; `changed` tells of others. */
export function deviceAlerts(desk, device, changed) {
  const { api, live, clock, signal } = desk;
  const lists = ["firing", "resolved"].map((id) => h("ul", { id, class: "alert-list" }));
  const [drawFiring, drawOver] = lists.map((list) => alertList(list, desk));
  const count = h("span.count", "0 firing");
  const none = h("p.empty.muted", { hidden: true }, h("span", shape("resolved"), "Nothing has fired here."));
  const about = h("p.small.rules");
  const query = `device=${encodeURIComponent(device)}`;
  const root = h("section.panel.device-alerts", { "aria-labelledby": "device-alerts-title" },
    h("h2", { id: "device-alerts-title" }, "Alerts ", count), " ", h("a.small", { href: `#/alerts?${query}` }, "all of them"),
    lists, none, about);
  let rules = [];
  let alerts = []; // what fires first, the worst before others, then the newest

  const take = (items) => {
    const known = new Map(alerts.map((alert) => [alert.id, alert]));
    for (const alert of items) if (alert.fired_at) known.set(alert.id, { ...known.get(alert.id), ...alert });
    const rank = ({ state, severity }) => (state === "firing" ? SEVERITY_RANK[severity] : 0);
    const newest = [...known.values()].sort((a, b) => b.id - a.id).slice(0, MOST);
    alerts = newest.sort((a, b) => rank(b) - rank(a));
    const firing = alerts.filter(({ state }) => state === "firing");
    drawFiring(firing);
    drawOver(alerts.slice(firing.length, firing.length + SHOWN));
    setText(count, `${firing.length} firing`);
    none.hidden = alerts.length > 0;
  };
  const takeRules = (items) => {
    rules = items;
    about.replaceChildren(...(rules.length
      ? ["Rules that watch this device:", ...rules.flatMap(({ id, name }) => [" ", h("a", { href: `#/rules/${id}` }, name)])]
      : ["No rule watches this device. ", h("a", { href: `#/rules/new?${query}` }, "Make one"), " to be told when a value is wrong."]));
  };
  const due = { alerts: 0, rules: 0 };
  /** Load something where it is due, and say when it is due again. */
  const keep = async (name, question, learn) => {
    if (performance.now() < due[name]) return;
    due[name] = performance.now() + AGAIN_MS[name];
    try {
      learn((await api.get(`/v1/${name}`, { device, ...question })).items);
      changed();
    } catch (error) {
      if (error.status === undefined) throw error;
      due[name] = performance.now() + RETRY_MS;
    }
  };
  const look = () => {
    keep("alerts", { limit: MOST }, take);
    keep("rules", {}, takeRules);
  };
  live.subscribe(`alerts:${device}`, {
    onData: ({ alert }) => {
      take([alert]);
      changed();
    },
    onSubscribed: (recovered) => recovered || (due.alerts = 0),
  }, signal);
  clock.tick(look, signal);
  look();

  const seconds = (text) => (text ? Date.parse(text) / 1_000 : null);
  const marks = () => alerts.map(({ metric, severity, rule, fired_at: fired, resolved_at: resolved }) =>
    ({ metric, severity, name: rule.name, fired: seconds(fired), resolved: seconds(resolved) }));
  return { root, marks, rules: () => rules, worst: () => (alerts[0]?.state === "firing" ? alerts[0].severity : "") };
}
