/** How a device is, in a line: its name, what fires, when it was last heard of; and what to do where it never was. */

import { command, h, setAttribute, setText, shape } from "../dom.js";
import { formatDuration } from "../format.js";

const SILENT_MS = 60_000;

export class DeviceHead {
  #tag = h("span", { class: "tag" }, shape("resolved"), h("span"));
  #seen = h("span", { class: "muted" });
  #labels = h("span", { class: "small muted" });

  constructor(device) {
    this.root = h("header", { class: "device-head" },
      h("h1", {}, device), h("p", { class: "state" }, this.#tag, this.#seen, this.#labels),
      h("p", { class: "links small" },
        h("a", { href: `#/rules/new?device=${encodeURIComponent(device)}` }, "New rule"), h("a", { href: "#/silences" }, "Silences")));
  }

  /** @param {Series[]} series all there are  @param {string} worst severity that fires  @param {number} now in seconds */
  draw(series, worst, now) {
    const newest = Math.max(...series.map((each) => each.newest?.ts ?? -Infinity));
    const age = (now - newest) * 1_000;
    const [kind, text] = worst ? [worst, worst] : age > SILENT_MS ? ["stale", "silent"] : ["resolved", "nothing fires"];
    this.#tag.hidden = newest === -Infinity;
    setAttribute(this.#tag, "data-kind", kind);
    setAttribute(this.#tag.querySelector("use"), "href", `#shape-${kind}`);
    setText(this.#tag.lastChild, text);
    setText(this.#seen, newest === -Infinity ? "" : `last reading ${formatDuration(age)} ago`);
    const [first, ...others] = series.map(({ labels }) => labels);
    const common = Object.entries(first ?? {}).filter(([name, value]) => others.every((each) => each[name] === value));
    setText(this.#labels, common.map(([name, value]) => `${name}=${value}`).join(" · "));
  }
}

/** What to do about a device of which nothing is known. */
export function absentDevice(device, signal) {
  const name = JSON.stringify(device).replaceAll("'", "'\\''");
  const post = `curl -X POST ${location.origin}/v1/readings \\\n  -H "Authorization: Bearer $KEY" \\\n`
    + `  -H "Content-Type: application/json" \\\n  -d '{"device": ${name}, "readings": [\n`
    + `    {"ts": '$(date +%s)000', "metric": "temperature", "value": 21.5}]}'`;
  return h("section", { class: "panel empty", hidden: true },
    h("p", {}, h("b", {}, "This device has not sent anything.")),
    h("p", { class: "muted" }, "With an admin or ingest key in ", h("code", {}, "$KEY"),
      ", this sends a first reading; its chart appears here at once. Or ",
      h("a", { href: "#/fleet" }, "look for another device"), "."),
    command(post, signal));
}
