/** The header's links: the views that this key may see, which of them is shown, and how many alerts are firing. */

import { byId, h, setAttribute, setText } from "./dom.js";
import { refusalOf } from "./router.js";
import { VIEWS } from "./views/index.js";

const PRODUCT = "Sluice";

/** Draw them, and keep them and the title of the page up to date until the signal. */
export function showNavigation({ session, router, alerts }, signal) {
  const links = new Map();
  let badge = null;
  for (const view of VIEWS.filter((each) => each.label && !refusalOf(each, session))) {
    const link = h("a", { href: `#${view.paths[0]}` }, view.label);
    if (view.badge) link.append((badge = h("span", { class: "badge", hidden: true })));
    links.set(view.name, link);
  }
  byId("navigation").replaceChildren(...[...links.values()].map((link) => h("li", {}, link)));

  const draw = () => {
    const { view, title } = router.current;
    const count = alerts.firing.size;
    for (const [name, link] of links) {
      setAttribute(link, "aria-current", name === (view?.under ?? view?.name) ? "page" : "false");
    }
    setText(document.querySelector("title"), `${count ? `(${count}) ` : ""}${title} · ${PRODUCT}`);
    if (!badge) return;
    setText(badge, count ? String(count) : "");
    badge.hidden = count === 0;
    setAttribute(badge, "data-severity", alerts.firingInOrder()[0]?.severity ?? "");
    setAttribute(badge, "aria-label", `${count} firing`);
  };
  router.addEventListener("show", draw, { signal });
  alerts.watch(draw, signal);
  signal.addEventListener("abort", () => {
    byId("navigation").replaceChildren();
    document.title = PRODUCT;
  });
}
