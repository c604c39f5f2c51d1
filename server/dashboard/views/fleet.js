/** The fleet: which devices there are, and which need somebody. */

import { withQuery } from "../api.js";
import { formatCount, formatDuration } from "../format.js";
import { reasonFor } from "../signin.js";
import { button, h, render, search, select, shape } from "../tree.js";
import { firstReading } from "./firstreading.js";
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

export async function mount(root, { api, live, clock, alerts, query, navigate, signal }) {
	const chosen = { ...PLAIN, ...Object.fromEntries(query) };
	if (!GROUPS[chosen.state]) chosen.state = PLAIN.state;
	if (!SORTS[chosen.sort]) chosen.sort = PLAIN.sort;
	const fleet = fleetOf(api, clock, signal);
	const rows = rowsOf(fleet.look, paint, signal);
	let severities = new Map();
	let counts = {};
	let shown = [];

	/** Judge and sort everything anew; then paint it. */
	function draw() {
		counts = { all: fleet.devices.size, alerting: 0, silent: 0, fine: 0 };
		const words = chosen.q.trim().toLowerCase();
		shown = [...fleet.devices.values()].filter((device) => {
			device.state = severities.get(device.device) ?? (device.silent ? "silent" : "fine");
			const group = device.state in counts ? device.state : "alerting";
			counts[group] += 1;
			return (chosen.state === "all" || chosen.state === group) && device.device.toLowerCase().includes(words);
		}).sort(SORTS[chosen.sort][1]);
		paint();
		if (shown.length) painted ||= requestAnimationFrame(() => setTimeout(() => performance.mark("fleet-values")));
	}

	function paint() {
		const empty = fleet.whole && !counts.all;
		const focused = document.activeElement;
		render([
			h("h1.unseen", title),
			h("div.tiles", { role: "group", "aria-label": "Filter" }, Object.entries(GROUPS).map(([group, label]) =>
				h("button.tile", { "data-group": group, "aria-pressed": group === chosen.state, onclick: () => choose({ state: group }) },
					h("b", { class: counts[group] && "some" }, fleet.whole ? formatCount(counts[group]) : "–"), h("span", label)))),
			h("div.filters.fleet-bar",
				search("Find a device", "Find a device", chosen.q, (q) => choose({ q }, true)),
				select({ "aria-label": "Order", onchange: ({ target }) => choose({ sort: target.value }) },
					Object.entries(SORTS).map(([value, [label]]) => [value, label]), chosen.sort),
				freshness(fleet, live, clock.now())),
			rows.tree(shown, clock.now()),
			fleet.whole && !empty && !shown.length && h("p.empty.muted", "No device matches. ", button("Show all", showAll)),
			empty && emptyState(),
		], root);
		if (focused.isConnected) focused.focus({ preventScroll: true }); // a row that is moved loses it
	}

	function choose(what, replace) {
		Object.assign(chosen, what);
		const said = Object.entries(chosen).filter(([name, value]) => value !== PLAIN[name]);
		navigate(withQuery("/fleet", Object.fromEntries(said)), { replace, stay: true });
		scrollTo(0, 0);
		draw();
	}

	function showAll() {
		root.querySelector("[type=search]").value = "";
		choose({ state: "all", q: "" });
	}

	clock.tick(paint, signal);
	live.watch(paint, signal);
	alerts.watch(() => {
		severities = alerts.severities();
		draw();
	}, signal);
	await new Promise((resolve, reject) => fleet.run(rows.near, () => resolve(draw())).catch(reject));
}

function freshness({ readAt, error }, { state }, now) {
	const age = formatDuration(now - readAt);
	const lost = error || (state.name !== "live" && now - state.since > TOLD_AFTER_MS);
	const why = error ? reasonFor(error) : state.name === "behind" ? "Catching up." : "Not connected.";
	const read = readAt ? `Read ${now - readAt < 5_000 ? "just now" : `${age} ago`}` : "Reading …";
	return h("p.muted.small", { id: "freshness", "data-kind": lost && "stale" }, shape(lost ? "warning" : "live"),
		!lost ? read : readAt ? `${why} What you see is ${age} old.` : why);
}

const emptyState = () =>
	h("div.panel.empty",
		h("p", h("b", "No device has sent anything yet.")),
		h("p.muted", "Post a first reading; any key with the scope “ingest” will do:"),
		firstReading("pump-7", "$(cat .sluice/admin.key)"),
		h("p.muted.small", "Or have a simulated fleet: ", h("code", "python3 dev.py up --demo")));
