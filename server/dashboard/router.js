/** Which view is shown: by the hash of the address, one at a time, each until its signal. */

import { announce } from "./dom.js";
import { button, h, render } from "./tree.js";
import { VIEWS } from "./views/index.js";

/** The view of an address, with what it says: `{view, params, query}`; view is undefined where there is none. */
function routeOf(hash) {
  const [path] = hash.slice(1).split("?");
  let params = {};
  const view = VIEWS.find(({ paths }) => paths.some((wanted) => (params = matched(wanted.split("/"), path.split("/")))));
  return { view, params, query: new URLSearchParams(hash.slice(path.length + 2)) };
}

function matched(wanted, steps) {
  if (wanted.length !== steps.length) return null;
  const params = {};
  for (const [place, want] of wanted.entries()) {
    try {
      if (want.startsWith(":")) params[want.slice(1)] = decodeURIComponent(steps[place]);
      else if (want !== steps[place]) return null;
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
  #session;
  #deskFor;
  #ending = null;
  #moved; // somebody has navigated: from then on the heading takes the focus

  current = { view: null, title: "" };

  /** `deskFor(signal)` makes what a view gets besides params and query. */
  constructor(main, session, deskFor) {
    super();
    this.#main = main;
    this.#session = session;
    this.#deskFor = deskFor;
    history.scrollRestoration = "manual";
  }

  /** Show what the address says, and follow it until the signal. `focus`: the first view takes it too. */
  start(signal, focus) {
    this.#moved = focus;
    addEventListener("popstate", ({ state }) => this.#follow(state?.y ?? 0), { signal });
    signal.addEventListener("abort", () => this.#leave(), { once: true });
    this.#follow(history.state?.y ?? 0);
  }

  /** Go to an address such as "/alerts?severity=critical". `stay`: the view shows it already, only the address changes. */
  navigate = (to, { replace = false, stay = false } = {}) => {
    history.replaceState({ y: scrollY }, ""); // where to scroll to when they come back
    history[replace ? "replaceState" : "pushState"](null, "", `#${to}`);
    if (stay) return;
    this.#moved = true;
    this.#show(0);
  };

  #follow(y) {
    if (location.hash && !location.hash.startsWith("#/")) return; // an anchor within the page
    if (!location.hash) {
      const first = VIEWS.find((view) => view.label && !refusalOf(view, this.#session));
      history.replaceState(null, "", `#${first.paths[0]}`);
    }
    this.#show(y);
    this.#moved = true;
  }

  #leave() {
    this.#ending?.abort();
    this.#main.replaceChildren();
  }

  async #show(y) {
    this.#leave();
    const { signal } = (this.#ending = new AbortController());
    const { view, params, query } = routeOf(location.hash);
    const refusal = view ? refusalOf(view, this.#session) : "The address leads nowhere here.";
    const focus = this.#moved;
    this.#name(view, "…");
    if (refusal) {
      const away = h("a", { href: "#/fleet" }, "Go to the fleet");
      return this.#stop(view, view ? "Not with this key" : "No such page", refusal, away, focus);
    }
    try {
      const [module] = await load(view);
      if (signal.aborted) return;
      const root = this.#place(view);
      const mounting = module.mount(root, { ...this.#deskFor(signal), params, query, navigate: this.navigate, signal });
      this.#begin(view, typeof module.title === "function" ? module.title(params) : module.title, focus);
      scrollTo(0, 0);
      await mounting;
      root.removeAttribute("aria-busy");
      if (y) scrollTo(0, y);
    } catch (error) {
      if (signal.aborted) return;
      this.#ending.abort(); // what there is of the view must not be drawn again
      const ours = error.status === undefined;
      const again = button("Try again", () => this.#show(y));
      this.#stop(view, "Something went wrong", ours ? "This page could not be loaded." : error.message, again, focus);
      if (ours) throw error;
    }
  }

  #name(view, title) {
    this.current = { view, title };
    this.dispatchEvent(new Event("show"));
  }

  /** Where the view is drawn: never where another one was. */
  #place(view) {
    const root = document.createElement("div");
    root.className = "view";
    root.dataset.view = view?.name ?? "none";
    root.setAttribute("aria-busy", "true");
    this.#main.replaceChildren(root);
    return root;
  }

  /** Name what is there now; `focus`: its heading is where they are who came by link or key. */
  #begin(view, title, focus) {
    this.#name(view, title);
    const heading = this.#main.querySelector("h1");
    if (!focus || !heading) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
    announce(title);
  }

  #stop(view, title, why, help, focus) {
    const root = this.#place(view);
    render(h("section.panel.stop", h("h1", title), h("p", why), help), root);
    root.removeAttribute("aria-busy");
    this.#begin(view, title, focus);
  }
}

const styles = new Map();

/** A style sheet of the views. Without it a view is plain, but there; one that did not come is asked for again. */
function style(name) {
  if (!styles.has(name)) {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: `/dashboard/views/${name}.css` });
    styles.set(name, new Promise((resolve) => {
      link.onload = resolve;
      link.onerror = () => {
        styles.delete(name);
        link.remove();
        resolve();
      };
    }));
    document.head.append(link);
  }
  return styles.get(name);
}

const load = (view) => Promise.all([import(`./views/${view.name}.js`), ...view.styles.map(style)]);

/** Load every view that the key may see, while nobody waits: then they open at once, and without the server too. */
export function prefetch(session) {
  const idle = window.requestIdleCallback ?? ((callback) => setTimeout(callback, 500));
  idle(() => VIEWS.forEach((view) => refusalOf(view, session) || load(view).catch(() => {}))); // asked for again when wanted
}
