/** How a device is, in a line; and what to do where it never was. */

import { formatDuration } from "../format.js";
import { h, shape } from "../tree.js";
import { firstReading } from "./firstreading.js";
import { SILENT_MS } from "./fleetdata.js";

/** `heard` is when anything came of it, in seconds. */
export function deviceHead(device, series, alerts, heard, now) {
	const worst = alerts.firingInOrder()[0]?.severity;
	const age = (now - Math.max(heard, ...series.map(({ newest }) => newest?.ts ?? -Infinity))) * 1_000;
	const [kind, text] = worst ? [worst, worst] : !alerts.sure ? ["stale", "alerts not known"]
		: age > SILENT_MS ? ["stale", "silent"] : ["resolved", "nothing fires"];
	const [first = {}, ...others] = series.map(({ labels }) => labels);
	const common = Object.entries(first).filter(([name, value]) => others.every((each) => each[name] === value));
	return h("header.view-head.device-head",
		h("h1", device),
		h("p.state", age < Infinity && [
			h("span.tag", { "data-kind": kind }, shape(kind), h("span", text)),
			h("span.muted", `last reading ${formatDuration(age)} ago`),
		], h("span.small.muted", common.map(([name, value]) => `${name}=${value}`).join(" · "))),
		h("p.links.small",
			h("a", { href: `#/rules/new?device=${encodeURIComponent(device)}` }, "New rule"), h("a", { href: "#/silences" }, "Silences")));
}

export function absentDevice(device) {
	return h("section.panel.empty",
		h("p", h("b", "This device has not sent anything.")),
		h("p.muted", "With an admin or ingest key in ", h("code", "$KEY"),
			", this sends a first reading; its chart appears here at once. Or ", h("a", { href: "#/fleet" }, "look for another device"), "."),
		firstReading(device, "$KEY"));
}
