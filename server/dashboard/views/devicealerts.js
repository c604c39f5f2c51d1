import { h, panel } from "../tree.js";
import { alertList } from "./alertlist.js";

const SHOWN = 8; // of those that are over

/** `rules` is undefined while nobody knows them. */
export function deviceAlerts(desk, device, alerts, rules) {
	const query = `device=${encodeURIComponent(device)}`;
	const over = [...alerts.resolved.values()].sort((a, b) => b.id - a.id).slice(0, SHOWN);
	const some = alerts.firing.size + over.length > 0;
	const note = !alerts.sure ? `Alerts not known${some ? ": this is what was last heard" : ""}.` : some ? "" : "Nothing has fired here.";
	return panel("Alerts", alerts.sure ? `${alerts.count} firing` : "–",
		" ", h("a.small", { href: `#/alerts?${query}` }, "all of them"),
		alertList("firing", alerts.firingInOrder(), desk),
		alertList("resolved", over, desk),
		note && h("p.empty.muted", note),
		rules && h("p.small.rules",
			rules.length ? "Rules that watch this device: " : "No rule watches this device. ",
			rules.map(({ id, name }) => [h("a", { href: `#/rules/${id}` }, name), " · "]),
			h("a", { href: `#/rules/new?${query}` }, "New rule")));
}
