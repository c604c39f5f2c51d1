/** Which view is shown: by the hash of the address, one at a time, each until its signal. */

import { announce } from "./dom.js";
import { button, h, render } from "./tree.js";
import { VIEWS } from "./views/index.js";

/** What an address says; `view` is undefined where it leads nowhere. */
function routeOf(hash) {
	const [path] = hash.slice(1).split("?");
	const query = new URLSearchParams(hash.slice(path.length + 2));
	for (const view of VIEWS) {
		const params = matched(view.path, path);
		if (params) return { view, params, query };
	}
	return { params: {}, query };
}

/** What stands in the places of a pattern such as "/rules/:id"; null where a path is not like that. */
function matched(pattern, path) {
	const found = new RegExp(`^${pattern.replace(/:(\w+)/, "(?<$1>[^/]+)")}$`).exec(path);
	try {
		return found && Object.fromEntries(Object.entries(found.groups ?? {}).map(([name, text]) => [name, decodeURIComponent(text)]));
	} catch {
		return null; // not percent-encoded
	}
}

/** Why a key may not see a view; "" where it may. */
export function refusalOf(view, session) {
	const { scope = "read" } = view;
	if (!session.has(scope)) return `This page needs a key with the scope “${scope}”.`;
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

	/** Follow the address until the signal. `focus`: the first view takes it too. */
	start(signal, focus) {
		this.#moved = focus;
		addEventListener("popstate", ({ state }) => this.#follow(state?.y ?? 0), { signal });
		signal.addEventListener("abort", () => this.#leave(), { once: true });
		this.#follow(history.state?.y ?? 0);
	}

	/** Go to an address such as "/alerts?severity=critical". `stay`: the view shows it already. */
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
			history.replaceState(null, "", `#${first.path}`);
		}
		this.#show(y);
		this.#moved = true;
	}

	#leave() {
		this.#ending?.abort();
		render(null, this.#main);
	}

	async #show(y) {
		this.#leave();
		const { signal } = (this.#ending = new AbortController());
		const { view, params, query } = routeOf(location.hash);
		const refusal = view ? refusalOf(view, this.#session) : "The address leads nowhere here.";
		const focus = this.#moved;
		render(h("div.view", { "data-view": view?.name ?? "none", "aria-busy": "true" }), this.#main);
		const root = this.#main.firstChild;
		const name = (title) => {
			this.current = { view, title };
			this.dispatchEvent(new Event("show"));
		};
		const begin = (title) => {
			name(title);
			const heading = root.querySelector("h1");
			if (!focus || !heading) return;
			heading.tabIndex = -1;
			heading.focus({ preventScroll: true });
			announce(title);
		};
		const stop = (title, why, help) => {
			render(h("section.panel.stop", h("h1", title), h("p", why), help), root);
			root.ariaBusy = null;
			begin(title);
		};
		name("…");
		if (refusal) return stop(view ? "Not with this key" : "No such page", refusal, h("a", { href: "#/fleet" }, "Go to the fleet"));
		try {
			const [module] = await load(view);
			if (signal.aborted) return;
			const mounting = module.mount(root, { ...this.#deskFor(signal), params, query, navigate: this.navigate, signal });
			begin(typeof module.title === "function" ? module.title(params) : module.title);
			scrollTo(0, 0);
			await mounting;
			root.ariaBusy = null;
			if (y) scrollTo(0, y);
		} catch (error) {
			if (signal.aborted) return;
			this.#ending.abort(); // or what there is of the view would be drawn again
			const ours = error.status === undefined;
			stop("Something went wrong", ours ? "This page could not be loaded." : error.message, button("Try again", () => this.#show(y)));
			if (ours) throw error;
		}
	}
}

const styles = new Map();

/** Without its style sheet a view is plain, but there; one that did not come is asked for again. */
function style(name) {
	if (!styles.has(name)) {
		styles.set(name, new Promise((resolve) => {
			const onerror = () => resolve(styles.delete(name));
			const href = `/dashboard/views/${name}.css`;
			document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href, onload: resolve, onerror }));
		}));
	}
	return styles.get(name);
}

const load = (view) => Promise.all([import(`./views/${view.name}.js`), ...(view.styles ?? []).map(style)]);

/** Load every view that the key may see, while nobody waits: then they open without the server, too. */
export function prefetch(session) {
	const idle = window.requestIdleCallback ?? ((callback) => setTimeout(callback, 500));
	idle(() => VIEWS.forEach((view) => refusalOf(view, session) || load(view).catch(() => {})));
}
