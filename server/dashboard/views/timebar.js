/** Which time is seen, to be chosen: spans that end now, earlier, later, longer, shorter, live again. */

import { button, h, setAttribute, setText } from "../dom.js";
import { iso } from "../charts/span.js";

const SPANS = [[900, "15 min"], [3_600, "1 h"], [21_600, "6 h"], [86_400, "24 h"], [604_800, "7 d"], [2_592_000, "30 d"]]; // seconds
const STEPS = [
  ["‹", "Earlier", "←", "move", -0.5], ["›", "Later", "→", "move", 0.5],
  ["+", "Zoom in", "+", "zoom", 0.5], ["−", "Zoom out", "−", "zoom", 2],
];
const KEYS = { ArrowLeft: ["move", -0.25], ArrowRight: ["move", 0.25], "+": ["zoom", 0.5], "-": ["zoom", 2], 0: ["reset"] };
const HINT = "Drag across a chart to zoom, Ctrl and the wheel zoom too, Shift and the wheel move; a double click goes back.";
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

/** Gives its `root`, and `draw(span, now)`. */
export function timeBar(on, signal) {
  const spans = SPANS.map(([length, name]) => button(name, () => on.choose(length)));
  const live = button("Live", () => on.reset(), { title: "Go on with what comes now (0)" });
  const range = h("span.range.muted.small");
  const steps = STEPS.map(([text, name, key, act, amount]) =>
    button(text, () => on[act](amount), { "aria-label": name, title: `${name} (${key})` }));
  const root = h("div.timebar", { role: "group", "aria-label": "Time", title: HINT },
    h("span.group", spans), h("span.group", steps), live, range);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, pre, dialog")) return;
    const [act, amount] = KEYS[event.key] ?? [];
    if (act) on[act](amount);
  }, { signal });
  const draw = (span, now) => {
    spans.forEach((node, place) => setAttribute(node, "aria-pressed", String(span.live && span.length === SPANS[place][0])));
    setAttribute(live, "aria-pressed", String(span.live));
    const [from, to] = span.bounds(now);
    setText(range, MOMENT.formatRange(from * 1_000, (span.to ?? now) * 1_000));
    setAttribute(range, "title", `${iso(from)} – ${iso(to)} UTC`);
  };
  return { root, draw };
}
