/** The alerts: what fires, the worst first, and what is over. What is chosen stands in the address. */

import { covers, MOST_RESOLVED, newestFirst } from "../alerts.js";
import { withQuery } from "../api.js";
import { follow } from "../listing.js";
import { button, h, notice, panel, render, search, select, shape, viewHead } from "../tree.js";
import { alertList } from "./alertlist.js";

export const title = "Alerts";

const SEVERITIES = ["critical", "warning", "info"];
const MOST_SHOWN = 500; // more than anybody reads
const PAGE = 50;
const AGAIN_MS = 10_000; // at most, what is over
const SETTLE_MS = 300; // for whoever is still typing

export async function mount(root, desk) {
	const { alerts, api, clock, query, session, navigate, signal } = desk;
	const chosen = Object.fromEntries(["severity", "device", "rule"].map((name) => [name, query.get(name)]));
	let cursor = null; // of the page that is wanted of what is over
	let [held, due] = [[], Infinity]; // what was known when the first page was asked for, and until when it rests
	let ruled = true; // there is a rule, as far as we know
	const past = follow(desk, async () => {
		const before = cursor ? past.answer.items : [];
		const { items, next } = await api.get("/v1/alerts", { ...chosen, state: "resolved", limit: PAGE, cursor });
		return { items: [...before, ...items], next };
	}, draw, Infinity); // events tell the rest

	function read(from) {
		cursor = from;
		if (!from) [held, due] = [[...alerts.resolved.keys()], performance.now() + AGAIN_MS];
		return past.load();
	}

	let typing;
	const wanted = { ...chosen };
	function choose(what) {
		Object.assign(wanted, what);
		clearTimeout(typing);
		typing = setTimeout(() => {
			if (signal.aborted) return;
			Object.assign(chosen, wanted);
			navigate(withQuery("/alerts", chosen), { replace: true, stay: true });
			draw();
			read(null);
		}, SETTLE_MS);
	}

	function draw() {
		const all = alerts.firingInOrder();
		const firing = all.filter((alert) => matches(alert, chosen));
		const more = firing.length - MOST_SHOWN;
		const ended = new Map((past.answer?.items ?? []).map((alert) => [alert.id, alert]));
		alerts.resolved.forEach((alert, id) => ended.set(id, alert));
		const over = [...ended.values()].filter((alert) => matches(alert, chosen) && !alerts.firing.has(alert.id))
			.sort(newestFirst("resolved_at"));
		render([
			viewHead(title, filters(chosen, choose)),
			notice(past.problem),
			panel("Firing", firing.length === all.length ? alerts.count : `${firing.length} of ${alerts.count}`,
				alertList("firing", firing.slice(0, MOST_SHOWN), desk),
				more > 0 && h("p.empty.muted", `${more} more: choose a severity or a device.`),
				!alerts.sure && h("p.empty.muted", "Not connected: this is what was last heard."),
				!firing.length && nothingFires(all.length > 0, alerts.sure, ruled)),
			panel("Resolved", null,
				alertList("resolved", over, desk),
				!over.length && h("p.empty.muted", "What was resolved will be here, the newest first."),
				past.answer?.next && button("Show older", () => read(past.answer.next), { id: "older" })),
		], root);
	}

	/** Events keep the newest: where none of them was known when it was read, others lie between. */
	function mend() {
		draw();
		const known = (past.answer?.items ?? []).map(({ id }) => id).concat(held);
		const torn = alerts.resolved.size === MOST_RESOLVED && !known.some((id) => alerts.resolved.has(id));
		if (torn && performance.now() >= due) read(null);
	}

	alerts.watch(mend, signal);
	clock.tick(draw, signal);
	await read(null);
	if (alerts.firing.size || session.key.device_glob) return;
	try {
		ruled = (await api.get("/v1/rules")).items.length > 0;
		draw();
	} catch (error) {
		if (error.status === undefined) throw error; // a side question
	}
}

function nothingFires(others, sure, ruled) {
	const text = others ? "Nothing that you chose is firing." : sure ? "Nothing is firing." : "Nothing was firing.";
	return h("div.empty",
		h("p", h("span", { class: sure && "ok" }, shape("resolved")), h("b", text)),
		h("p", ruled
			? "An alert appears here the moment it fires."
			: ["There is no rule yet. ", h("a", { href: "#/rules/new" }, "Make the first one")]));
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
