/** Which metrics of a device are shown; `choose` gets those that shall be. */

import { h } from "../tree.js";

export function metricPicker(metrics, shown, choose) {
	if (metrics.length < 2) return null;
	const take = ({ currentTarget }) => choose([...currentTarget.querySelectorAll(":checked")].map(({ value }) => value));
	return h("details.picker.small",
		h("summary", `Metrics: ${shown.length} of ${metrics.length}`),
		h("div", { onchange: take }, metrics.map((metric) =>
			h("label", h("input", { type: "checkbox", value: metric, checked: shown.includes(metric) }), h("span", metric)))));
}

/** It closes by Escape, and when something else is clicked. */
export function closePicker(root, signal) {
	const close = (event) => {
		const open = root.querySelector(".picker[open]");
		if (open && (event.key === "Escape" || (event.type === "click" && !open.contains(event.target)))) open.open = false;
	};
	for (const type of ["keydown", "click"]) document.addEventListener(type, close, { signal });
}
