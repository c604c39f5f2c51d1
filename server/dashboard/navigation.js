/** The header's links: the views that this key may see, which of them is shown, and how many alerts are firing. */

import { byId, h, setAttribute, setText } from "./dom.js";
import { refusalOf } from "./router.js";
import { VIEWS } from "./views/index.js";

export function showNavigation({ session, router, alerts }, signal) {
  const badge = h("span.badge", { hidden: true });
  const shown = VIEWS.filter((view) => view.label && !refusalOf(view, session));
  const links = new Map(shown.map(({ name, paths, label }) =>
    [name, h("a", { href: `#${paths[0]}` }, label, name === "alerts" && badge)]));
  byId("navigation").replaceChildren(...[...links.values()].map((link) => h("li", link)));

  const draw = () => {
    const { view, title } = router.current;
    const count = alerts.firing.size;
    links.forEach((link, name) => setAttribute(link, "aria-current", name === (view?.under ?? view?.name) ? "page" : "false"));
    setText(document.querySelector("title"), `${count ? `(${count}) ` : ""}${title} · Sluice`);
    setText(badge, count ? String(count) : "");
    badge.hidden = count === 0;
    setAttribute(badge, "data-severity", alerts.firingInOrder()[0]?.severity ?? "");
    setAttribute(badge, "aria-label", `${count} firing`);
  };
  router.addEventListener("show", draw, { signal });
  alerts.watch(draw, signal);
  signal.addEventListener("abort", () => {
    byId("navigation").replaceChildren();
    document.title = "Sluice";
  });
}
