/** Which metrics of a device are shown. */

import { h, setText } from "../dom.js";

/** Gives its `root`, and `draw(metrics, shown)`. `choose` gets the metrics that shall be shown. */
export function metricPicker(choose, signal) {
  const summary = h("summary");
  const list = h("div", { onchange: () => choose([...list.querySelectorAll(":checked")].map(({ value }) => value)) });
  const root = h("details.picker.small", { hidden: true }, summary, list);
  document.addEventListener("keydown", ({ key }) => key === "Escape" && (root.open = false), { signal });
  document.addEventListener("click", ({ target }) => root.contains(target) || (root.open = false), { signal });
  const draw = (metrics, shown) => {
    root.hidden = metrics.length < 2;
    setText(summary, `Metrics: ${shown.length} of ${metrics.length}`);
    if (list.children.length === metrics.length) return; // they only ever become more
    list.replaceChildren(...metrics.map((metric) =>
      h("label", h("input", { type: "checkbox", value: metric, checked: shown.includes(metric) }), h("span", metric))));
  };
  return { root, draw };
}
