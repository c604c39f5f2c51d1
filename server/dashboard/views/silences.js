/** The silences: what pages nobody, until when, and by whom. */

import { announce } from "../dom.js";
import { askFor } from "../form.js";
import { formatDuration } from "../format.js";
import { follow } from "../listing.js";
import { button, h, moment, notice, panel, render, textField, viewHead } from "../tree.js";
import { askSilence } from "./alertactions.js";

export const title = "Silences";

const PAGE = 100;

export async function mount(root, desk) {
	const { api, clock, session, signal } = desk;
	const admin = session.has("admin");
	const read = (state) => api.get("/v1/silences", { state, limit: PAGE });
	const silences = follow(desk, () => Promise.all([read("active"), read("ended")]), draw);

	function draw() {
		const [active, ended] = (silences.answer ?? []).map(({ items }) => items);
		const lasts = ({ until }) => Date.parse(until) > clock.now(); // one may end between two answers
		const list = (name, items, empty, inForce) => panel(name, items.length,
			items.length ? h("ul.rows", items.map((silence) => row(silence, inForce))) : h("p.empty.muted", empty));
		const over = active && [...active.filter((silence) => !lasts(silence)), ...ended];
		render([
			viewHead(title, h("div.actions", admin && button("New silence", begin, { class: "main" }))),
			h("p.muted", "A silence holds webhooks: alerts still fire, are shown and recorded, but page nobody."),
			notice(silences.problem),
			active && list("In force", active.filter(lasts), "Nothing is silenced. Every alert that has a webhook pages.", true),
			over?.length > 0 && list("Over", over),
		], root);
	}

	function row({ id, until, device, metric, rule, comment, created_by: by }, inForce) {
		const covered = [
			(rule ?? null) !== null && `rule ${rule}`,
			metric !== "*" && `metric ${metric}`,
			device === "*" ? "all devices" : `device ${device}`,
		].filter(Boolean).join(" · ");
		return h("li.silence", { key: id },
			h("div",
				h("b", covered), comment && h("p", comment),
				h("p.muted.small", inForce ? "until " : "ended ", moment(until),
					inForce && ` · ${formatDuration(Date.parse(until) - clock.now())} left`, by && ` · by ${by}`)),
			inForce && admin && h("div.actions", button("End now", () => end(id))));
	}

	async function begin() {
		const glob = (label, name, hint) => textField(label, name, { hint, defaultValue: "*", required: true, maxlength: 128 });
		const fields = [
			glob("Device", "device", "A name, or a pattern such as pump-*; * is all of them."),
			glob("Metric", "metric", "temperature, or a pattern."),
		];
		const covered = (values) => ({ device: values.get("device"), metric: values.get("metric") });
		if (await askSilence(desk, "New silence", "For maintenance, or for what is known already.", fields, covered)) silences.load();
	}

	async function end(id) {
		const done = await askFor({
			title: "End the silence now?",
			lead: ["What fires and was held pages from now on."],
			action: "End it",
			submit: () => api.delete(`/v1/silences/${id}`),
		}, signal);
		if (!done) return;
		announce("Ended.");
		silences.load();
	}

	draw();
	clock.tick(draw, signal);
	await silences.load();
}
