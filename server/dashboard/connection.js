import { announce, byId } from "./dom.js";
import { formatDuration } from "./format.js";
import { button, h, moment, render, shape } from "./tree.js";

const STATES = {
	live: ["Live", "live", "Events and values arrive as they happen."],
	behind: ["Catching up", "connecting", "Connected, and reading what happened meanwhile: what you see may be old."],
	reconnecting: ["Reconnecting", "waiting", "The connection is being made again. What you see was known before."],
	offline: ["Offline", "refused", "Nothing is being tried. What you see was known before."],
};
const TOLD_AFTER_MS = 1_000;
const TIMED_AFTER_MS = 5_000;

export function showConnection(live, clock, signal) {
	let told = "";
	function draw() {
		const { name, since, reason } = live.state;
		const [title, mark, meaning] = STATES[name];
		const lasting = clock.now() - since;
		const first = name === "reconnecting" && !told;
		const said = reason && ` The server said: ${reason}.`;
		const why = navigator.onLine ? said : " This device has no network; the page goes on by itself once it has.";
		byId("connection").dataset.state = name;
		render([
			shape(mark),
			h("span", first ? "Connecting …" : title),
			name !== "live" && lasting > TIMED_AFTER_MS && h("span.muted", formatDuration(lasting)),
		], byId("connection"));
		render([
			h("p", meaning, name === "offline" && why),
			h("p.muted.small", "Since ", moment(new Date(since).toISOString())),
			(name === "reconnecting" || name === "offline") && button("Try now", () => live.retry()),
		], byId("connection-details"));
		if (!told && name === "live") told = name;
		if (name === told || lasting < TOLD_AFTER_MS || first) return;
		told = name;
		announce(`${title}. ${meaning}`);
	}
	clock.tick(draw, signal);
	live.watch(draw, signal);
}
