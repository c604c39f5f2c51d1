/** What the header says of the connection: how it is, since when, and what the page knew last. */

import { announce, byId, part, setAttribute, setShape, setText } from "./dom.js";
import { formatDuration, showMoment } from "./format.js";

const NAMES = { live: "Live", behind: "Catching up", reconnecting: "Reconnecting", offline: "Offline" };
const SHAPES = { live: "live", behind: "connecting", reconnecting: "waiting", offline: "refused" };
const MEANINGS = {
  live: "Events and values arrive as they happen.",
  behind: "Connected, and reading what happened meanwhile: what you see may be old.",
  reconnecting: "The connection is being made again. What you see was known before.",
  offline: "Nothing is being tried. What you see was known before.",
};
const TOLD_AFTER_MS = 1_000; // a shorter interruption is not worth a word to those who listen
const TIMED_AFTER_MS = 5_000; // nor a number to those who look

export class ConnectionState {
  #live;
  #clock;
  #told = "live";

  constructor(live, clock, signal) {
    this.#live = live;
    this.#clock = clock;
    live.watch(() => this.#draw(), signal);
    clock.tick(() => this.#draw(), signal);
    byId("connection-retry").addEventListener("click", () => live.retry(), { signal });
  }

  #draw() {
    const { name, since, heard, reason } = this.#live.state;
    const button = byId("connection");
    const lasting = this.#clock.now() - since;
    const first = name === "reconnecting" && !this.#live.known;
    setAttribute(button, "data-state", name);
    setShape(button, SHAPES[name]);
    setText(part(button, "name"), first ? "Connecting …" : NAMES[name]);
    setText(part(button, "since"), name !== "live" && lasting > TIMED_AFTER_MS ? formatDuration(lasting) : "");
    const details = byId("connection-details");
    setText(part(details, "meaning"), MEANINGS[name] + (name === "offline" ? ` ${whyOffline(reason)}` : ""));
    showMoment(part(details, "since"), new Date(since).toISOString());
    if (heard) showMoment(part(details, "heard"), new Date(heard).toISOString());
    else setText(part(details, "heard"), "nothing yet");
    byId("connection-retry").hidden = name === "live" || name === "behind";
    if (name === this.#told || lasting < TOLD_AFTER_MS || first) return;
    this.#told = name;
    announce(`${NAMES[name]}. ${MEANINGS[name]}`);
  }
}

function whyOffline(reason) {
  if (!navigator.onLine) return "This device has no network; the page goes on by itself once it has.";
  return reason ? `The server said: ${reason}.` : "";
}
