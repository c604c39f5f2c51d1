/** The page: takes a key, then joins the fleet, the alerts and the live connection until the key is forgotten. */

import { AlertList } from "./alertlist.js";
import { Alerts } from "./alerts.js";
import { Api } from "./api.js";
import { DeviceCards } from "./devices.js";
import { byId, offerCopy, part, setShape, setText } from "./dom.js";
import { Fleet } from "./fleet.js";
import { formatDuration, ZONE } from "./format.js";
import { Live } from "./live.js";
import { adviceFor, askForKey, reasonFor, showProblem } from "./signin.js";

// Alerts are read anew now and then even while events come: should the two ever differ, the list is right.
const RELOAD_MS = { live: 15_000, otherwise: 5_000 };

const CONNECTION_NAMES = {
  connecting: "Connecting …",
  live: "Live",
  waiting: "Reconnecting",
  refused: "Not authorised",
  closed: "Not live",
};

class Dashboard {
  #ending = new AbortController();
  #api;
  #fleet;
  #alerts;
  #cards;
  #list;
  #live;
  #state = { name: "connecting" };
  #loadedAt = -Infinity;

  constructor(key) {
    const { signal } = this.#ending;
    this.#api = new Api(key, signal);
    this.#fleet = new Fleet(this.#api, signal);
    this.#alerts = new Alerts(this.#api);
    this.#live = new Live({
      token: key,
      channel: "alerts",
      onState: (state) => this.#showConnection(state),
      onSubscribed: (recovered) => recovered || this.#loadAlerts(),
      onPublication: (event) => this.#applyEvent(event),
    });
  }

  /** Try the key on the list of devices; once that works, show everything and go live. */
  async start() {
    await this.#fleet.load();
    const { signal } = this.#ending;
    const now = () => this.#api.now();
    this.#cards = new DeviceCards(this.#fleet, now, signal);
    this.#list = new AlertList(this.#alerts, now, (device) => this.#cards.reveal(device));
    showDashboard(true);
    this.#cards.draw();
    this.#list.draw();
    this.#live.connect();
    this.#fleet.poll((error) => this.#showRound(error));
    const clock = setInterval(() => this.#tick(), 1_000);
    signal.addEventListener("abort", () => clearInterval(clock));
    byId("sign-out").addEventListener("click", () => this.end(""), { signal });
    part(byId("connection"), "retry").addEventListener("click", () => this.#live.connect(), { signal });
    addEventListener("online", () => this.#live.connect(), { signal });
  }

  /** Forget the key and everything it showed. */
  end(problem) {
    this.#ending.abort();
    this.#live.close();
    byId("devices").replaceChildren();
    byId("firing").replaceChildren();
    byId("resolved").replaceChildren();
    document.title = "Sluice";
    showDashboard(false);
    showProblem(problem);
    byId("key").focus();
  }

  async #loadAlerts() {
    this.#loadedAt = performance.now();
    try {
      await this.#alerts.load();
      this.#list.showSure(true);
      const idle = this.#fleet.devices.size > 0 && this.#alerts.firing.size === 0;
      this.#list.showFirstRule(idle && !(await this.#alerts.hasRules()));
    } catch {
      this.#list.showSure(this.#state.name === "live"); // why, polling the fleet finds out too, and says so
      return;
    }
    if (!this.#ending.signal.aborted) this.#drawAlerts();
  }

  #applyEvent(event) {
    this.#alerts.apply(event);
    this.#list.announce(event);
    this.#drawAlerts();
  }

  #drawAlerts() {
    this.#list.draw();
    this.#cards.mark(this.#alerts.severities());
  }

  #showRound(error) {
    if (error?.status === 401 || error?.status === 403) {
      this.end(adviceFor(error));
      return;
    }
    byId("notice").hidden = !error;
    if (error) setText(byId("notice"), `${reasonFor(error)} The page keeps trying; what it shows was read before.`);
    this.#cards.draw();
    this.#tick();
  }

  #tick() {
    this.#cards.tick();
    this.#list.tick();
    const age = this.#api.now() - this.#fleet.updatedAt;
    setText(byId("freshness"), age < 5_000 ? "updated just now" : `updated ${formatDuration(age)} ago`);
    this.#showCountdown();
    const due = this.#state.name === "live" ? RELOAD_MS.live : RELOAD_MS.otherwise;
    if (!document.hidden && performance.now() - this.#loadedAt > due) this.#loadAlerts();
  }

  #showConnection(state) {
    this.#state = state;
    const connection = byId("connection");
    connection.dataset.state = state.name;
    connection.title = state.reason ? `Alerts are read every 5 s instead: ${state.reason}` : "";
    setShape(connection, state.name === "closed" ? "refused" : state.name);
    setText(part(connection, "name"), CONNECTION_NAMES[state.name]);
    part(connection, "retry").hidden = !["waiting", "closed"].includes(state.name);
    this.#showCountdown();
  }

  #showCountdown() {
    const { name, until } = this.#state;
    const left = name === "waiting" ? ` in ${Math.max(1, Math.ceil((until - Date.now()) / 1_000))} s` : "";
    setText(part(byId("connection"), "countdown"), left);
  }
}

function showDashboard(shown) {
  byId("dashboard").hidden = !shown;
  byId("sign-in").hidden = shown;
  byId("sign-out").hidden = !shown;
  byId("connection").hidden = !shown;
}

/** The commands of the empty states, with this page's address and without any key. */
function writeCommands() {
  const curl = (path, body) =>
    `curl -X POST ${location.origin}${path} \\\n  -H "Authorization: Bearer $KEY" \\\n`
    + `  -H "Content-Type: application/json" \\\n  -d '${body}'`;
  const reading = `{"device": "pump-7", "readings": [\n`
    + `    {"ts": '$(date +%s)000', "metric": "temperature", "value": 21.5}]}`;
  const rule = `{"name": "Overheating", "device": "*", "metric": "temperature",\n`
    + `    "condition": {"type": "threshold", "levels": [\n      {"severity": "warning", "above": 70, "clear": 65},\n`
    + `      {"severity": "critical", "above": 80, "clear": 75}]}}`;
  setText(byId("devices-empty").querySelector("pre code"), curl("/v1/readings", reading));
  setText(byId("first-rule").querySelector("pre code"), curl("/v1/rules", rule));
  document.querySelectorAll("[data-copy]").forEach(offerCopy);
}

writeCommands();
setText(byId("zone"), `Values are read every 2 s and stale after 60 s. Times are those of ${ZONE}; hover for UTC.`);
askForKey((key) => new Dashboard(key).start());
