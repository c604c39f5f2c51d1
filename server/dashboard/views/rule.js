import { announce } from "../dom.js";
import { askFor, saidBy } from "../form.js";
import { button, h, render, viewHead } from "../tree.js";
import { draftOf, ruleOf } from "./ruledraft.js";
import { ruleForm } from "./ruleform.js";
import { rulePreview } from "./rulepreview.js";

export async function mount(root, desk) {
	const { api, params, query, session, navigate, signal } = desk;
	const fresh = params.id === "new";
	const path = `/v1/rules/${encodeURIComponent(params.id)}`;
	const may = session.has("admin");
	render([viewHead(fresh ? "New rule" : "Rule")], root);
	const rule = fresh ? Object.fromEntries(query) : await api.get(path);
	if (signal.aborted) return;

	let [problem, saving] = ["", false];
	const draft = draftOf(rule);
	const form = ruleForm(draft, draw);
	const preview = rulePreview(desk, draft, draw);

	function draw() {
		render([
			viewHead(fresh ? "New rule" : rule.name),
			h("form.rule-form", { oninput: () => say(""), onsubmit: save },
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

	async function save(event) {
		event.preventDefault();
		saving = true;
		say("");
		try {
			await (fresh ? api.post("/v1/rules", ruleOf(draft)) : api.put(path, ruleOf(draft)));
			announce("The rule is saved.");
			navigate("/rules");
		} catch (error) {
			saving = false;
			say(saidBy(error));
			root.querySelector(".problem").scrollIntoView({ block: "nearest" });
		}
	}

	async function remove() {
		const done = await askFor({
			title: `Delete “${rule.name}”?`,
			lead: ["Those of its alerts that are firing are resolved. Its history stays."],
			action: "Delete",
			said: "The rule is deleted.",
			danger: true,
			submit: () => api.delete(path),
		}, signal);
		if (done) navigate("/rules");
	}

	draw();
}
