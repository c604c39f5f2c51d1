import { withQuery } from "../api.js";
import { formatCount, formatDuration } from "../format.js";
import { h, notice, render, search } from "../tree.js";
import { firstReading } from "./firstreading.js";
import { fleetOf } from "./fleetdata.js";
import { rowsOf } from "./fleetrows.js";

const GROUPS = ["devices", "alerting", "silent", "fine"];
const STATES = ["critical", "warning", "info", "silent", "fine"];
const PLAIN = { state: "devices", q: "" };

export async function mount(root, { api, clock, alerts, query, navigate, signal }) {
	const chosen = { ...PLAIN, ...Object.fromEntries(query) };
	if (!GROUPS.includes(chosen.state)) chosen.state = PLAIN.state;
	const fleet = fleetOf(api, clock, signal);
	const rows = rowsOf(fleet.look, paint, signal);
	let counts = {};
	let shown = [];

	function draw() {
		const severities = new Map(alerts.firingInOrder().reverse().map(({ device, severity }) => [device, severity]));
		const words = chosen.q.trim().toLowerCase();
		counts = { devices: fleet.devices.size, alerting: 0, silent: 0, fine: 0 };
		shown = [...fleet.devices.values()].filter((device) => {
			device.state = severities.get(device.device) ?? (device.silent ? "silent" : "fine");
			const group = device.state in counts ? device.state : "alerting";
			counts[group] += 1;
			return [group, "devices"].includes(chosen.state) && device.device.toLowerCase().includes(words);
		}).sort((a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state));
		paint();
	}

	function paint() {
		const empty = fleet.whole && !counts.devices;
		const age = fleet.readAt ? `What you see is ${formatDuration(clock.now() - fleet.readAt)} old.` : "";
		const focused = document.activeElement;
		render([
			h("h1.unseen", "Fleet"),
			h("div.tiles", { role: "group", "aria-label": "Filter" }, GROUPS.map((group) =>
				h("button.tile", { "data-group": group, "aria-pressed": group === chosen.state, onclick: () => choose({ state: group }) },
					h("b", { class: counts[group] && "some" }, fleet.whole ? formatCount(counts[group]) : "–"), h("span", group)))),
			h("div.filters.fleet-bar", search("Find a device", "Find a device", chosen.q, (q) => choose({ q }, true))),
			notice(fleet.error && `${fleet.error.message} ${age}`),
			rows.tree(shown, clock.now()),
			fleet.whole && !empty && !shown.length && h("p.empty.muted", "No device matches."),
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

	clock.tick(paint, signal);
	alerts.watch(draw, signal);
	await new Promise((resolve, reject) => fleet.run(rows.near, () => resolve(draw())).catch(reject));
}

const emptyState = () =>
	h("div.panel.empty",
		h("p", h("b", "No device has sent anything yet.")),
		h("p.muted", "Post a first reading; any key with the scope “ingest” will do:"),
		firstReading("pump-7", "$(cat .sluice/admin.key)"),
		h("p.muted.small", "Or have a simulated fleet: ", h("code", "python3 dev.py up --demo")));
