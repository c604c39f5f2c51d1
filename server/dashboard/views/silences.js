import { askFor } from "../form.js";
import { formatDuration } from "../format.js";
import { follow } from "../listing.js";
import { button, h, moment, notice, panel, render, textField, viewHead } from "../tree.js";
import { askSilence } from "./alertactions.js";

const MOST = 1_000;

export async function mount(root, desk) {
	const { api, clock, session, signal } = desk;
	const admin = session.has("admin");
	const silences = follow(desk, async () => (await api.get("/v1/silences", { state: "active", limit: MOST })).items, draw);

	function draw() {
		const lasting = silences.answer?.filter(({ until }) => Date.parse(until) > clock.now());
		render([
			viewHead("Silences", h("div.actions", admin && button("New silence", begin, { class: "main" }))),
			h("p.muted", "A silence holds webhooks: alerts still fire, are shown and recorded, but page nobody."),
			notice(silences.problem),
			lasting && panel("In force", lasting.length,
				h("ul.rows", lasting.map(row)),
				!lasting.length && h("p.empty.muted", "Nothing is silenced. Every alert that has a webhook pages.")),
		], root);
	}

	function row({ id, until, device, metric, rule, comment, created_by: by }) {
		const covered = [
			(rule ?? null) !== null && `rule ${rule}`,
			metric !== "*" && `metric ${metric}`,
			device === "*" ? "all devices" : `device ${device}`,
		].filter(Boolean).join(" · ");
		return h("li.silence", { key: id },
			h("div",
				h("b", covered), comment && h("p", comment),
				h("p.muted.small", "until ", moment(until), ` · ${formatDuration(Date.parse(until) - clock.now())} left`, by && ` · by ${by}`)),
			admin && h("div.actions", button("End now", () => end(id))));
	}

	async function begin() {
		const glob = (label, name, hint) => textField(label, name, { hint, defaultValue: "*", required: true, maxlength: 128 });
		const fields = [
			glob("Device", "device", "A name, or a pattern such as pump-*; * is all of them."),
			glob("Metric", "metric", "temperature, or a pattern."),
		];
		const covered = (values) => ({ device: values.get("device"), metric: values.get("metric") });
		await askSilence(desk, "New silence", "For maintenance, or for what is known already.", fields, covered);
		silences.load();
	}

	async function end(id) {
		await askFor({
			title: "End the silence now?",
			lead: ["What fires and was held pages from now on."],
			action: "End it",
			said: "Ended.",
			submit: () => api.delete(`/v1/silences/${id}`),
		}, signal);
		silences.load();
	}

	draw();
	clock.tick(draw, signal);
	await silences.load();
}
