/** Which metrics of a device are shown. */

import { h, setText } from "../dom.js";

export class MetricPicker {
  #list = h("div");
  #summary = h("summary");
  root = h("details", { class: "picker small", hidden: true }, this.#summary, this.#list);

  /** @param {Function} choose gets the metrics that shall be shown */
  constructor(choose, signal) {
    this.#list.addEventListener("change", () => {
      choose([...this.#list.querySelectorAll(":checked")].map(({ value }) => value));
    }, { signal });
    document.addEventListener("keydown", ({ key }) => key === "Escape" && (this.root.open = false), { signal });
    document.addEventListener("click", ({ target }) => this.root.contains(target) || (this.root.open = false), { signal });
  }

  /** Offer all of them. */
  draw(metrics, shown) {
    this.root.hidden = metrics.length < 2;
    setText(this.#summary, `Metrics: ${shown.length} of ${metrics.length}`);
    const offered = [...this.#list.querySelectorAll("input")].map(({ value }) => value);
    if (offered.join("\n") === metrics.join("\n")) return;
    this.#list.replaceChildren(...metrics.map((metric) =>
      h("label", {}, h("input", { type: "checkbox", value: metric, checked: shown.includes(metric) }), h("span", {}, metric))));
  }
}
