import { formatDuration, formatLabels, formatValue } from "../format.js";
import { button, h, moment, shape } from "../tree.js";
import { acknowledge, silence } from "./alertactions.js";

export const alertList = (id, alerts, desk) => h("ul.alert-list", { id }, alerts.map((alert) => alertRow(alert, desk)));

function alertRow(alert, desk) {
	const { id, rule, device, metric, labels, severity, value, threshold, state, fired_at: began, resolved_at: ended } = alert;
	const fires = state === "firing";
	const crossed = Number.isFinite(value) && Number.isFinite(threshold);
	const crossing = () => `${formatValue(value)} ${value < threshold ? "<" : ">"} ${formatValue(threshold)}`;
	const lasted = formatDuration((ended ? Date.parse(ended) : desk.clock.now()) - Date.parse(began));
	const said = saidOf(alert);
	return h("li.alert", { key: id, "data-severity": severity, "data-device": device },
		shape(severity, severity),
		h("div.what.split",
			h("b", rule.name),
			h("span", { title: crossed ? `value ${value}, threshold ${threshold}` : severity }, fires && crossed ? crossing() : severity)),
		h("p.where",
			h("span", h("a", { href: `#/devices/${encodeURIComponent(device)}` }, device), " · "),
			[metric, formatLabels(labels)].filter(Boolean).join(" · ")),
		h("div.muted.small", fires ? "since " : "resolved ", moment(ended ?? began), ` · ${ended ? "after " : ""}${lasted}`),
		said && h("p.small", { "data-part": "said" }, said),
		fires && desk.session.has("admin") && h("div.actions",
			!alert.acknowledged_at && button("Acknowledge", () => acknowledge(alert, desk)),
			!desk.session.key.device_glob && button("Silence …", () => silence(alert, desk))));
}

function saidOf({ acknowledged_at: seen, acknowledged_by: by, acknowledged_comment: comment, silenced, state }) {
	return [
		seen && `Acknowledged by ${by ?? "somebody"}${comment ? `: “${comment}”` : ""}`,
		silenced && state === "firing" && "Silenced: its webhooks are held",
	].filter(Boolean).join(" · ");
}
