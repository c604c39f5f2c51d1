import { covers, newestFirst } from "../alerts.js";
import { withQuery } from "../api.js";
import { follow } from "../listing.js";
import { button, h, notice, panel, render, search, select, shape, viewHead } from "../tree.js";
import { alertList } from "./alertlist.js";

const SEVERITIES = ["critical", "warning", "info"];
const MOST_SHOWN = 1_000; // of each; more than anybody reads
const PAGE = 50;
const SETTLE_MS = 300; // for whoever is still typing

export async function mount(root, desk) {
	const { alerts, api, clock, query, session, navigate, signal } = desk;
	const chosen = Object.fromEntries(["severity", "device", "rule"].map((name) => [name, query.get(name)]));
	let limit = PAGE;
	let typing;
	const past = follow(desk, () => api.get("/v1/alerts", { ...chosen, state: "resolved", limit }), draw);

	function choose(what) {
		Object.assign(chosen, what);
		navigate(withQuery("/alerts", chosen), { replace: true, stay: true });
		draw();
		clearTimeout(typing);
		typing = setTimeout(past.load, SETTLE_MS);
	}

	function readMore() {
		limit += PAGE;
		return past.load();
	}

	function draw() {
		const all = alerts.firingInOrder();
		const firing = all.filter((alert) => matches(alert, chosen));
		const more = firing.length - MOST_SHOWN;
		const over = [...(past.answer?.items ?? []), ...alerts.resolved.values()]
			.filter((alert) => matches(alert, chosen) && !alerts.firing.has(alert.id))
			.sort(newestFirst("resolved_at"));
		const known = new Map(over.map((alert) => [alert.id, alert]));
		render([
			viewHead("Alerts", filters(chosen, choose)),
			notice(past.problem),
			panel("Firing", firing.length === all.length ? alerts.count : `${firing.length} of ${alerts.count}`,
				alertList("firing", firing.slice(0, MOST_SHOWN), desk),
				more > 0 && h("p.empty.muted", `${more} more: choose a severity or a device.`),
				!alerts.known && h("p.empty.muted", "Reading …"),
				alerts.known && !alerts.sure && h("p.empty.muted", "Not connected: this is what was last heard."),
				alerts.known && !firing.length && nothingFires(all.length > 0, alerts.sure, session)),
			panel("Resolved", null,
				alertList("resolved", [...known.values()], desk),
				past.answer && !known.size && h("p.empty.muted", "What was resolved will be here, the newest first."),
				past.answer?.next && limit < MOST_SHOWN && button("Show older", readMore, { id: "older" })),
		], root);
	}

	alerts.watch(draw, signal);
	clock.tick(draw, signal);
	await past.load();
}

function nothingFires(others, sure, session) {
	const text = others ? "Nothing that you chose is firing." : sure ? "Nothing is firing." : "Nothing was firing.";
	return h("div.empty",
		h("p", h("span", { class: sure && "ok" }, shape("resolved")), h("b", text)),
		h("p", "An alert appears here the moment it fires.",
			!session.key.device_glob && [" What it takes is in ", h("a", { href: "#/rules" }, "the rules"), "."]));
}

const matches = (alert, { severity, device, rule }) =>
	(!severity || alert.severity === severity)
	&& (!rule || String(alert.rule.id) === rule)
	&& (!device || covers(device, alert.device));

const filters = ({ severity, device, rule }, choose) =>
	h("div.filters", { role: "search" },
		select({ "aria-label": "Severity", onchange: ({ target }) => choose({ severity: target.value || null }) },
			[["", "Any severity"], ...SEVERITIES], severity),
		search("Device", "Device, such as pump-*", device ?? "", (text) => choose({ device: text.trim() || null })),
		rule && h("span.small", `Rule ${rule} `, button("Show all rules", () => choose({ rule: null }))));
