import { withQuery } from "../api.js";
import { follow } from "../listing.js";
import { h, notice, panel, render, search, shape, viewHead } from "../tree.js";
import { worstOf, wordsOf } from "./rulewords.js";

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
		render([
			viewHead("Rules", h("div.filters",
				search("Find a rule", "Name, device, metric", sought, seek),
				admin && h("a.button.main", { href: "#/rules/new" }, "New rule"))),
			notice(rules.problem),
			panel("Rules", found.length === all.length ? all.length : `${found.length} of ${all.length}`,
				h("ul.rows", found.slice(0, MOST_SHOWN).map((rule) => row(rule, alerts))),
				rules.answer && !found.length && (all.length ? h("p.empty.muted", "No rule matches.") : noRule()),
				more > 0 && h("p.muted.small", `${more} more: write more of the name.`)),
		], root);
	}

	draw();
	alerts.watch(draw, signal);
	await rules.load();
}

const noRule = () =>
	h("div.empty",
		h("p", h("b", "There is no rule yet.")),
		h("p.muted", "A rule says when a value is worth an alert. A key with the scope “admin” can make one, and try it on what is stored."));

function row({ id, name, condition, enabled, device, metric }, alerts) {
	const worst = worstOf(condition);
	const firing = [...alerts.firing.values()].filter(({ rule }) => rule.id === id).length;
	return h("li.rule", { key: id, "data-severity": worst },
		shape(worst),
		h("div",
			h("a", { href: `#/rules/${id}` }, h("b", name)), !enabled && h("span.muted.small", " · off"),
			h("p.small", wordsOf(condition)),
			h("p.muted.small", `${metric} of ${device === "*" ? "every device" : device}`)),
		firing > 0 && h("a.tag", { href: `#/alerts?rule=${id}` }, `${firing} firing`));
}
