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
	const labels = series.map((each) => Object.entries(each.labels).map((pair) => pair.join("=")));
	const common = labels[0]?.filter((label) => labels.every((each) => each.includes(label))) ?? [];
	return h("header.view-head.device-head",
		h("h1", device),
		h("p.state", age < Infinity && [
			h("span.tag", { "data-kind": kind }, shape(kind), text),
			h("span.muted", `last reading ${formatDuration(age)} ago`),
		], h("span.small.muted", common.join(" · "))));
}

export function absentDevice(device, { key }) {
	return h("section.panel.empty",
		h("p", h("b", "This device has not sent anything", key.device_glob && ", or your key may not see it", ".")),
		h("p.muted", "With an ingest key in ", h("code", "$KEY"), ", this sends a first reading; its chart appears here at once."),
		firstReading(device, "$KEY"));
}
