/** One rule: made or changed, and tried on history before it wakes anybody. */

import { announce } from "../dom.js";
import { askFor, saidBy } from "../form.js";
import { button, h, render, viewHead } from "../tree.js";
import { draftOf, ruleOf } from "./ruledraft.js";
import { ruleForm } from "./ruleform.js";
import { rulePreview } from "./rulepreview.js";

export const title = ({ id }) => (id === "new" ? "New rule" : "Rule");

export async function mount(root, desk) {
	const { api, alerts, params, query, session, navigate, signal } = desk;
	const fresh = params.id === "new";
	const path = `/v1/rules/${encodeURIComponent(params.id)}`;
	const may = session.has("admin");
	render(viewHead(title(params)), root);
	const rule = fresh ? Object.fromEntries(query) : await api.get(path);
	if (signal.aborted) return;

	let [problem, saving] = ["", false];
	const draft = draftOf(rule);
	const form = ruleForm(draft, draw);
	const preview = rulePreview(desk, draft, draw);

	function draw() {
		render([
			viewHead(fresh ? title(params) : rule.name),
			h("form.rule-form", { novalidate: true, oninput: () => say(""), onsubmit: save },
				form(),
				preview(),
				h("p.problem", { role: "alert" }, problem),
				h("div.actions",
					h("a.button.quiet", { href: "#/rules" }, may ? "Cancel" : "Back"),
					may && !fresh && button("Delete", remove, { class: "quiet danger" }),
					may && h("button.main", { disabled: saving }, fresh ? "Make the rule" : "Save"))),
		], root);
	}

	function say(text) {
		problem = text;
		draw();
	}

	function leave(said) {
		announce(said);
		navigate("/rules");
	}

	async function save(event) {
		event.preventDefault();
		saving = true;
		say("");
		try {
			await (fresh ? api.post("/v1/rules", ruleOf(draft)) : api.put(path, ruleOf(draft)));
			leave("The rule is saved.");
		} catch (error) {
			if (error.name === "AbortError") return;
			saving = false;
			say(saidBy(error));
			root.querySelector(".problem").scrollIntoView({ block: "nearest" });
		}
	}

	async function remove() {
		const firing = alerts.firingOf(rule.id);
		const done = await askFor({
			title: `Delete “${rule.name}”?`,
			lead: [firing ? `${firing} of its alerts are firing: they are resolved.` : "None of its alerts is firing.", "Its history stays."],
			action: "Delete",
			danger: true,
			submit: () => api.delete(path),
		}, signal);
		if (done) leave("The rule is deleted.");
	}

	draw();
}
