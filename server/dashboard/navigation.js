import { byId } from "./dom.js";
import { refusalOf } from "./router.js";
import { h, render } from "./tree.js";
import { VIEWS } from "./views/index.js";

export function showNavigation({ session, router, alerts }, signal) {
	const shown = VIEWS.filter((view) => view.label && !refusalOf(view, session));

	function draw() {
		const { view, title } = router.current;
		const [worst] = alerts.firingInOrder();
		const badge = worst && [
			h("span.badge", { "data-severity": worst.severity }, alerts.count),
			h("span.unseen", " firing"),
		];
		render(shown.map(({ name, path, label }) => {
			const here = name === (view?.under ?? view?.name);
			return h("li", { key: name }, h("a", { href: `#${path}`, "aria-current": here ? "page" : "false" },
				label, name === "alerts" && badge));
		}), byId("navigation"));
		document.title = `${worst ? `(${alerts.count}) ` : ""}${title} · Sluice`;
	}

	router.addEventListener("show", () => {
		draw();
		byId("navigation").querySelector("[aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
	}, { signal });
	alerts.watch(draw, signal);
}
