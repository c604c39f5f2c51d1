import { askFor } from "../form.js";
import { field, select, textField } from "../tree.js";

const HOUR_MS = 3_600_000;
const LASTING = [[1, "1 hour"], [4, "4 hours"], [24, "24 hours"], [168, "7 days"]]; // hours

const comment = (hint) => textField("Comment", "comment", { maxlength: 1_000, hint });

export async function acknowledge(alert, { api, alerts, signal }) {
	await askFor({
		title: "Acknowledge the alert",
		lead: [`Says to everybody that you look at “${alert.rule.name}” on ${alert.device}. It fires until its condition is gone.`],
		fields: [comment("Optional: what you found, what you do.")],
		action: "Acknowledge",
		said: "Acknowledged.",
		submit: (values) => api.post(`/v1/alerts/${alert.id}/ack`, { comment: values.get("comment") }),
	}, signal);
	alerts.load();
}

export function silence({ device, metric, rule: { id: rule } }, desk) {
	const covers = [
		[`This rule on ${device}`, { device, metric, rule }],
		[`Everything on ${device}`, { device }],
		["This rule on all devices", { rule }],
	];
	const what = field("What", select({ name: "covers" }, covers.map(([name], place) => [place, name])));
	const lead = "Its webhooks are held. The alert is still shown here, and still recorded.";
	askSilence(desk, "Silence", lead, [what], (values) => covers[values.get("covers")][1]);
}

/** `covered(values)` says what is silenced. */
export async function askSilence({ api, clock, alerts, signal }, title, lead, fields, covered) {
	await askFor({
		title,
		lead: [lead],
		fields: [...fields, field("For", select({ name: "hours" }, LASTING)), comment("Optional: why.")],
		action: "Silence",
		said: "Silenced.",
		submit: (values) => api.post("/v1/silences", {
			...covered(values),
			until: new Date(clock.now() + values.get("hours") * HOUR_MS),
			comment: values.get("comment"),
		}),
	}, signal);
	alerts.load();
}
