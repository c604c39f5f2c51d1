/** Which time is seen, to be chosen: spans that end now, earlier, later, longer, shorter, live again. */

import { h, setAttribute, setText } from "../dom.js";
import { iso, SPANS } from "../charts/span.js";

const MOMENT = new Intl.DateTimeFormat(undefined, {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const HINT = "Drag across a chart to zoom, Ctrl and the wheel zoom too, Shift and the wheel move; a double click goes back.";
const KEYS = { ArrowLeft: ["move", -0.25], ArrowRight: ["move", 0.25], "+": ["zoom", 0.5], "-": ["zoom", 2], 0: ["reset"] };

export class TimeBar {
  #range = h("span", { class: "range muted small" });
  #live;
  #spans;

  /** @param {object} on `choose(length)`, `move(share)`, `zoom(factor)`, `reset()` */
  constructor(on, signal) {
    const button = (text, act, attributes = {}) => {
      const made = h("button", { type: "button", class: "quiet", ...attributes }, text);
      made.addEventListener("click", act, { signal });
      return made;
    };
    this.#spans = SPANS.map(([length, name]) => [length, button(name, () => on.choose(length))]);
    this.#live = button("Live", () => on.reset(), { title: "Go on with what comes now (0)" });
    this.root = h("div", { class: "timebar", role: "group", "aria-label": "Time", title: HINT },
      h("span", { class: "group" }, this.#spans.map(([, node]) => node)),
      h("span", { class: "group" },
        button("‹", () => on.move(-0.5), { "aria-label": "Earlier", title: "Earlier (←)" }),
        button("›", () => on.move(0.5), { "aria-label": "Later", title: "Later (→)" }),
        button("+", () => on.zoom(0.5), { "aria-label": "Zoom in", title: "Zoom in (+)" }),
        button("−", () => on.zoom(2), { "aria-label": "Zoom out", title: "Zoom out (−)" })),
      this.#live, this.#range);
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, pre, dialog")) return;
      const [act, amount] = KEYS[event.key] ?? [];
      if (act) on[act](amount);
    };
    document.addEventListener("keydown", pressed, { signal });
  }

  /** Show what is chosen. */
  draw(span, now) {
    for (const [length, node] of this.#spans) {
      setAttribute(node, "aria-pressed", String(span.live && span.length === length));
    }
    setAttribute(this.#live, "aria-pressed", String(span.live));
    const [from, to] = span.bounds(now);
    setText(this.#range, MOMENT.formatRange(new Date(from * 1_000), new Date((span.to ?? now) * 1_000)));
    setAttribute(this.#range, "title", `${iso(from)} – ${iso(to)} UTC`);
  }
}
