/** Which view is shown: by the hash of the address, one at a time, each until its signal. */

import { announce, h } from "./dom.js";
import { VIEWS } from "./views/index.js";

const RESTORE_MS = 2_000; // for a view that was gone back to, to be as tall again as it was
const ROUTES = VIEWS.flatMap((view) => view.paths.map((path) => ({ view, steps: path.split("/") })));

/** The view of an address, with what it says: `{view, params, query}`; view is null where there is none. */
export function routeOf(hash) {
  const [path, search = ""] = hash.replace(/^#/, "").split("?", 2);
  const query = new URLSearchParams(search);
  const steps = path.split("/");
  for (const { view, steps: wanted } of ROUTES) {
    const params = matched(wanted, steps);
    if (params) return { view, params, query };
  }
  return { view: null, params: {}, query };
}

function matched(wanted, steps) {
  if (wanted.length !== steps.length) return null;
  const params = {};
  for (const [place, want] of wanted.entries()) {
    if (!want.startsWith(":")) {
      if (want !== steps[place]) return null;
      continue;
    }
    try {
      params[want.slice(1)] = decodeURIComponent(steps[place]);
    } catch {
      return null; // not percent-encoded: no name was ever written like that
    }
  }
  return params;
}

/** Why a key may not see a view; "" where it may. */
export function refusalOf(view, session) {
  if (!session.has(view.scope)) return `This page needs a key with the scope “${view.scope}”.`;
  return view.unbound && session.key.device_glob ? "This page needs a key that is not bound to some devices." : "";
}

export class Router extends EventTarget {
  #main;
  #deskFor;
  #session;
  #ending = null;
  #moved = false; // somebody has navigated: from then on the heading takes the focus

  /** The view that is shown, its title, and where it is in the navigation. */
  current = { view: null, title: "" };

  /** @param {Function} deskFor makes what a view gets besides params and query, from its signal */
  constructor(main, session, deskFor) {
    super();
    this.#main = main;
    this.#session = session;
    this.#deskFor = deskFor;
    history.scrollRestoration = "manual";
  }

  /** Show what the address says, and follow it until the signal. `focus`: the first view takes it too. */
  start(signal, focus = false) {
    this.#moved = focus;
    addEventListener("popstate", ({ state }) => this.#follow(state?.y ?? 0), { signal });
    addEventListener("scroll", debounced(() => this.#keepPlace()), { signal });
    signal.addEventListener("abort", () => this.#leave(), { once: true });
    this.#follow(history.state?.y ?? 0);
  }

  /** Go to an address such as "/alerts?severity=critical". `stay`: the view shows it already, only the address changes. */
  navigate = (to, { replace = false, stay = false } = {}) => {
    if (!stay) this.#moved = true;
    this.#keepPlace();
    history[replace ? "replaceState" : "pushState"](stay ? { y: scrollY } : null, "", `#${to}`);
    if (!stay) this.#show(0);
  };

  #follow(y) {
    if (location.hash && !location.hash.startsWith("#/")) return; // an anchor within the page
    if (!location.hash) {
      const first = VIEWS.find((view) => view.label && !refusalOf(view, this.#session)) ?? VIEWS[0];
      history.replaceState(null, "", `#${first.paths[0]}`);
    }
    this.#show(y);
    this.#moved = true;
  }

  #keepPlace() {
    if (this.#ending) history.replaceState({ ...history.state, y: scrollY }, "");
  }

  #leave() {
    this.#ending?.abort();
    this.#ending = null;
    this.#main.replaceChildren();
  }

  async #show(y) {
    const focus = this.#moved;
    this.#leave();
    const { signal } = (this.#ending = new AbortController());
    const { view, params, query } = routeOf(location.hash);
    this.#name(view, "…");
    const refusal = view && refusalOf(view, this.#session);
    const root = h("div", { class: "view", "data-view": view?.name ?? "none", "aria-busy": "true" });
    try {
      if (refusal) return void this.#stop(root, "Not with this key", refusal, focus);
      if (!view) return void this.#stop(root, "No such page", "The address leads nowhere here.", focus);
      const [module] = await Promise.all([view.load(), ...view.styles.map(loadStyle)]);
      if (signal.aborted) return;
      const title = typeof module.title === "function" ? module.title(params) : module.title;
      this.#name(view, title);
      this.#main.replaceChildren(root);
      const mounting = module.mount(root, { ...this.#deskFor(signal), params, query, navigate: this.navigate, signal });
      if (focus) focusHeading(root, title);
      scrollTo(0, 0);
      await mounting;
      root.removeAttribute("aria-busy");
      if (y) restorePlace(root, y, signal);
    } catch (error) {
      if (signal.aborted) return;
      const why = error.status === undefined ? "This page could not be loaded." : error.message;
      this.#stop(root, "Something went wrong", why, focus, () => this.#show(y));
      if (error.status === undefined) throw error;
    }
  }

  /** Say why there is no view here, and offer what helps. */
  #stop(root, title, why, focus, retry) {
    const link = h("a", { href: "#/fleet" }, "Go to the fleet");
    const again = h("button", { type: "button", class: "quiet" }, "Try again");
    again.addEventListener("click", retry);
    const panel = h("section", { class: "panel stop" }, h("h1", {}, title), h("p", {}, why), retry ? again : link);
    root.removeAttribute("aria-busy");
    root.replaceChildren(panel);
    this.#main.replaceChildren(root);
    this.#name(this.current.view, title);
    if (focus) focusHeading(root, title);
  }

  #name(view, title) {
    this.current = { view, title };
    this.dispatchEvent(new Event("show"));
  }
}

function focusHeading(root, title) {
  const heading = root.querySelector("h1") ?? root;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  announce(title);
}

/** Scroll to where the viewer was, as soon as the view is tall enough, unless they scroll themselves. */
function restorePlace(root, y, signal) {
  const ending = new AbortController();
  const over = AbortSignal.any([signal, ending.signal, AbortSignal.timeout(RESTORE_MS)]);
  const tall = new ResizeObserver(() => {
    scrollTo(0, y);
    if (Math.abs(scrollY - y) < 2) ending.abort();
  });
  over.addEventListener("abort", () => tall.disconnect(), { once: true });
  for (const own of ["wheel", "touchstart", "keydown"]) {
    addEventListener(own, () => ending.abort(), { signal: over, passive: true });
  }
  tall.observe(root);
}

const styles = new Map();

/** Load a view's style sheet, once. */
function loadStyle(name) {
  if (!styles.has(name)) {
    const loaded = new Promise((resolve) => {
      const link = h("link", { rel: "stylesheet", href: `/dashboard/views/${name}.css` });
      link.addEventListener("load", resolve, { once: true });
      link.addEventListener("error", resolve, { once: true }); // plain, but there
      document.head.append(link);
    });
    styles.set(name, loaded);
  }
  return styles.get(name);
}

/** Load every view that the key may see, while nobody waits: then they open at once, and without the server too. */
export function prefetch(session) {
  const idle = window.requestIdleCallback ?? ((callback) => setTimeout(callback, 500));
  idle(() => {
    for (const view of VIEWS) {
      if (refusalOf(view, session)) continue;
      view.load().catch(() => {}); // it will be asked for again when it is wanted
      view.styles.forEach(loadStyle);
    }
  });
}

function debounced(callback) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(callback, 100);
  };
}
