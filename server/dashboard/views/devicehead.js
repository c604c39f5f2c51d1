/** How a device is, in a line: its name, what fires, when it was last heard of; and what to do where it never was. */

import { h, setAttribute, setShape, setText, shape } from "../dom.js";
import { formatDuration } from "../format.js";
import { command, element } from "../tree.js";

const SILENT_MS = 60_000;

/** Gives its `root`, and `draw(series, worst, now)`: all series, the worst severity that fires or "", seconds. */
export function deviceHead(device) {
  const tag = h("span.tag", shape("resolved"), h("span"));
  const [seen, shared] = [h("span.muted"), h("span.small.muted")];
  const root = h("header.device-head", h("h1", device), h("p.state", tag, seen, shared),
    h("p.links.small",
      h("a", { href: `#/rules/new?device=${encodeURIComponent(device)}` }, "New rule"), h("a", { href: "#/silences" }, "Silences")));
  const draw = (series, worst, now) => {
    const newest = Math.max(...series.map((each) => each.newest?.ts ?? -Infinity));
    const age = (now - newest) * 1_000;
    const [kind, text] = worst ? [worst, worst] : age > SILENT_MS ? ["stale", "silent"] : ["resolved", "nothing fires"];
    tag.hidden = newest === -Infinity;
    setAttribute(tag, "data-kind", kind);
    setShape(tag, kind);
    setText(tag.lastChild, text);
    setText(seen, tag.hidden ? "" : `last reading ${formatDuration(age)} ago`);
    const [first, ...others] = series.map(({ labels }) => labels);
    const common = Object.entries(first ?? {}).filter(([name, value]) => others.every((each) => each[name] === value));
    setText(shared, common.map(([name, value]) => `${name}=${value}`).join(" · "));
  };
  return { root, draw };
}

export function absentDevice(device) {
  const name = JSON.stringify(device).replaceAll("'", "'\\''");
  return h("section.panel.empty", { hidden: true },
    h("p", h("b", "This device has not sent anything.")),
    h("p.muted", "With an admin or ingest key in ", h("code", "$KEY"),
      ", this sends a first reading; its chart appears here at once. Or ", h("a", { href: "#/fleet" }, "look for another device"), "."),
    element(command(`curl -X POST ${location.origin}/v1/readings \\\n  -H "Authorization: Bearer $KEY" \\\n`
      + `  -H "Content-Type: application/json" \\\n  -d '{"device": ${name}, "readings": [\n`
      + `    {"ts": '$(date +%s)000', "metric": "temperature", "value": 21.5}]}'`)));
}
