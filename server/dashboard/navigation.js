/** The header's links: the views that this key may see. */

import { byId } from "./dom.js";
import { refusalOf } from "./router.js";
import { h, render } from "./tree.js";
import { VIEWS } from "./views/index.js";

export function showNavigation({ session, router, alerts }, signal) {
	const shown = VIEWS.filter((view) => view.label && !refusalOf(view, session));

	function draw() {
		const { view, title } = router.current;
		const firing = alerts.firing.size > 0;
		const badge = () => [
			h("span.badge", { "data-severity": alerts.firingInOrder()[0].severity }, alerts.count),
			h("span.unseen", " firing"),
		];
		render(shown.map(({ name, path, label }) => {
			const here = name === (view?.under ?? view?.name);
			return h("li", { key: name }, h("a", { href: `#${path}`, "aria-current": here ? "page" : "false" },
				label, name === "alerts" && firing && badge()));
		}), byId("navigation"));
		document.title = `${firing ? `(${alerts.count}) ` : ""}${title} · Sluice`;
	}

	router.addEventListener("show", draw, { signal });
	alerts.watch(draw, signal);
	signal.addEventListener("abort", () => {
		render(null, byId("navigation"));
		document.title = "Sluice";
	});
}
