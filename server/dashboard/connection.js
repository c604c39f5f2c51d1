/** What the header says of the connection: how it is, since when, and what the page knew last. */

import { announce, byId, part, setAttribute, setShape, setText } from "./dom.js";
import { formatDuration, showMoment } from "./format.js";

const STATES = {
  live: ["Live", "live", "Events and values arrive as they happen."],
  behind: ["Catching up", "connecting", "Connected, and reading what happened meanwhile: what you see may be old."],
  reconnecting: ["Reconnecting", "waiting", "The connection is being made again. What you see was known before."],
  offline: ["Offline", "refused", "Nothing is being tried. What you see was known before."],
};
const TOLD_AFTER_MS = 1_000; // a shorter interruption is not worth a word to those who listen
const TIMED_AFTER_MS = 5_000; // nor a number to those who look

export function showConnection(live, clock, signal) {
  const [shown, details, retry] = ["connection", "connection-details", "connection-retry"].map(byId);
  let told = "live";
  const draw = () => {
    const { name, since, heard, reason } = live.state;
    const [title, shape, meaning] = STATES[name];
    const lasting = clock.now() - since;
    const first = name === "reconnecting" && !live.known;
    const said = reason && ` The server said: ${reason}.`;
    const why = navigator.onLine ? said : " This device has no network; the page goes on by itself once it has.";
    setAttribute(shown, "data-state", name);
    setShape(shown, shape);
    setText(part(shown, "name"), first ? "Connecting …" : title);
    setText(part(shown, "since"), name !== "live" && lasting > TIMED_AFTER_MS ? formatDuration(lasting) : "");
    setText(part(details, "meaning"), meaning + (name === "offline" ? why : ""));
    showMoment(part(details, "since"), new Date(since).toISOString());
    if (heard) showMoment(part(details, "heard"), new Date(heard).toISOString());
    retry.hidden = name === "live" || name === "behind";
    if (name === told || lasting < TOLD_AFTER_MS || first) return;
    told = name;
    announce(`${title}. ${meaning}`);
  };
  clock.tick(draw, signal);
  retry.addEventListener("click", () => live.retry(), { signal });
  live.watch(draw, signal);
}
