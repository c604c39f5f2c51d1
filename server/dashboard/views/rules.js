/** The rules: what they watch, and how many of their alerts are firing. */

import { withQuery } from "../api.js";
import { follow } from "../listing.js";
import { h, notice, panel, render, search, shape, viewHead } from "../tree.js";
import { worstOf, wordsOf } from "./rulewords.js";

export const title = "Rules";

const MOST_SHOWN = 200; // more than anybody reads

export async function mount(root, desk) {
	const { api, alerts, session, query, navigate, signal } = desk;
	const admin = session.has("admin");
	let sought = query.get("q") ?? "";
	const rules = follow(desk, async () => (await api.get("/v1/rules")).items, draw);

	function seek(text) {
		sought = text;
		navigate(withQuery("/rules", { q: text || null }), { replace: true, stay: true });
		draw();
	}

	function draw() {
		const all = rules.answer ?? [];
		const words = sought.trim().toLowerCase();
		const found = all.filter(({ name, device, metric }) => `${name}\n${device}\n${metric}`.toLowerCase().includes(words));
		const more = found.length - MOST_SHOWN;
		const rest = more > 0 ? `${more} more: write more of the name.` : found.length || !all.length ? "" : "No rule matches.";
		render([
			viewHead(title, h("div.filters",
				search("Find a rule", "Name, device, metric", sought, seek),
				admin && h("a.button.main", { href: "#/rules/new" }, "New rule"))),
			notice(rules.problem),
			panel(title, found.length === all.length ? all.length : `${found.length} of ${all.length}`,
				h("ul.rows", found.slice(0, MOST_SHOWN).map((rule) => row(rule, alerts))),
				rules.answer && !all.length && noRule(admin),
				h("p.muted.small", { role: "status" }, rest)),
		], root);
	}

	draw();
	alerts.watch(draw, signal);
	await rules.load();
}

const noRule = (admin) =>
	h("div.empty",
		h("p", h("b", "There is no rule yet.")),
		h("p.muted", admin
			? "A rule says when a value is worth an alert. It can be tried on what is stored before it wakes anybody."
			: "Somebody whose key has the scope “admin” can make one."));

function row({ id, name, condition, enabled, device, metric }, alerts) {
	const worst = worstOf(condition);
	const firing = alerts.firingOf(id);
	return h("li.rule", { key: id, "data-severity": worst },
		shape(worst),
		h("div",
			h("a", { href: `#/rules/${id}` }, h("b", name)), !enabled && h("span.muted.small", " · off"),
			h("p.small", wordsOf(condition)),
			h("p.muted.small", `${metric} of ${device === "*" ? "every device" : device}`)),
		firing > 0 && h("a.tag", { href: `#/alerts?rule=${id}` }, `${firing} firing`));
}
