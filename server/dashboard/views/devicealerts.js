/** The alerts of one device: what fires, what was over last; and the rules that are about it. */

import { h, setText, shape } from "../dom.js";
import { SEVERITY_RANK } from "../alerts.js";
import { AlertList } from "./alertlist.js";

const MOST = 100;
const SHOWN = 8; // of those that are over
const AGAIN_MS = { alerts: 60_000, rules: 30_000 }; // nobody tells of changes of rules
const RETRY_MS = 5_000;

export class DeviceAlerts {
  #api;
  #device;
  #changed;
  #alerts = new Map();
  #firing;
  #over;
  #none = h("p", { class: "empty muted", hidden: true }, h("span", {}, shape("resolved"), "Nothing has fired here."));
  #rules = h("p", { class: "small rules" });
  #count = h("span", { class: "count" }, "0 firing");

  /** The rules about the device, once they are known. */
  rules = [];
  root;

  /** @param {Function} changed is called when alerts or rules are others */
  constructor(desk, device, changed) {
    this.#api = desk.api;
    this.#device = device;
    this.#changed = changed;
    const lists = ["firing", "resolved"].map((id) => h("ul", { id, class: "alert-list" }));
    [this.#firing, this.#over] = lists.map((list) => new AlertList(list, desk));
    const all = h("a", { class: "small", href: `#/alerts?device=${encodeURIComponent(device)}` }, "all of them");
    this.root = h("section", { class: "panel device-alerts", "aria-labelledby": "device-alerts-title" },
      h("h2", { id: "device-alerts-title" }, "Alerts ", this.#count), " ", all, lists, this.#none, this.#rules);
    desk.clock.tick(() => this.#firing.tick(), desk.signal);
  }

  /** Load them, and follow what happens until the signal. */
  start(live, clock, signal) {
    const onData = ({ alert }) => this.#take([alert]);
    const due = { alerts: 0, rules: 0 };
    const look = () => {
      this.#keep(due, "alerts", () => this.#load());
      this.#keep(due, "rules", () => this.#loadRules());
    };
    const onSubscribed = (recovered) => recovered || (due.alerts = 0);
    live.subscribe(`alerts:${this.#device}`, { onData, onSubscribed }, signal);
    clock.tick(look, signal);
    look();
  }

  /** As charts mark them: `{metric, severity, name, fired, resolved}`, in seconds, newest first. */
  get marks() {
    const seconds = (text) => (text ? Date.parse(text) / 1_000 : null);
    return [...this.#alerts.values()].map(({ metric, severity, rule, fired_at: fired, resolved_at: resolved }) =>
      ({ metric, severity, name: rule.name, fired: seconds(fired), resolved: seconds(resolved) }));
  }

  /** The worst that fires; "" where nothing does. */
  get worst() {
    const firing = this.#inOrder().filter(({ state }) => state === "firing");
    return firing[0]?.severity ?? "";
  }

  /** Load something where it is due, and say when it is due again. */
  async #keep(due, name, load) {
    if (performance.now() < due[name]) return;
    due[name] = performance.now() + AGAIN_MS[name];
    try {
      await load();
    } catch (error) {
      if (error.status === undefined) throw error;
      due[name] = performance.now() + RETRY_MS;
    }
  }

  async #load() {
    const { items } = await this.#api.get("/v1/alerts", { device: this.#device, limit: MOST });
    this.#take(items);
  }

  async #loadRules() {
    this.rules = (await this.#api.get("/v1/rules", { device: this.#device })).items;
    const link = (rule) => [" ", h("a", { href: `#/rules/${rule.id}` }, rule.name)];
    const make = h("a", { href: `#/rules/new?device=${encodeURIComponent(this.#device)}` }, "Make one");
    const known = this.rules.length
      ? ["Rules that watch this device:", this.rules.map(link)]
      : ["No rule watches this device. ", make, " to be told when a value is wrong."];
    this.#rules.replaceChildren(...known.flat(2));
    this.#changed();
  }

  #take(alerts) {
    for (const alert of alerts) if (alert.fired_at) this.#alerts.set(alert.id, { ...this.#alerts.get(alert.id), ...alert });
    const kept = [...this.#alerts.values()].sort((a, b) => b.id - a.id).slice(0, MOST);
    this.#alerts = new Map(kept.map((alert) => [alert.id, alert]));
    this.#draw();
    this.#changed();
  }

  #inOrder() {
    const rank = ({ state, severity }) => (state === "firing" ? SEVERITY_RANK[severity] : 0);
    return [...this.#alerts.values()].sort((a, b) => rank(b) - rank(a) || b.id - a.id);
  }

  #draw() {
    const alerts = this.#inOrder();
    const firing = alerts.filter(({ state }) => state === "firing");
    this.#firing.draw(firing);
    this.#over.draw(alerts.slice(firing.length, firing.length + SHOWN));
    setText(this.#count, `${firing.length} firing`);
    this.#none.hidden = alerts.length > 0;
  }
}
