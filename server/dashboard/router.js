import { button, h, render } from "./tree.js";
import { VIEWS } from "./views/index.js";

function routeOf(hash) {
	const [path] = hash.slice(1).split("?");
	const query = new URLSearchParams(hash.slice(path.length + 2));
	for (const view of VIEWS) {
		const params = matched(view.path, path);
		if (params) return { view, params, query };
	}
	return {};
}

/** What stands in the place of a pattern such as "/rules/:id"; null where a path is not like that. */
function matched(pattern, path) {
	const found = new RegExp(`^${pattern.replace(/:(\w+)/, "(?<$1>[^/]+)")}$`).exec(path);
	try {
		return found && Object.fromEntries(Object.entries(found.groups ?? {}).map(([name, text]) => [name, decodeURIComponent(text)]));
	} catch {
		return null; // not percent-encoded
	}
}

export function refusalOf(view, session) {
	const { scope = "read" } = view;
	if (!session.has(scope)) return `This page needs a key with the scope “${scope}”.`;
	return view.unbound && session.key.device_glob ? "This page needs a key that is not bound to some devices." : "";
}

export class Router extends EventTarget {
	#ending = null;
	#moved; // from then on the heading takes the focus

	current = { view: null, title: "" };

	constructor(main, session, deskFor) {
		super();
		Object.assign(this, { main, session, deskFor });
		history.scrollRestoration = "manual";
	}

	/** `focus`: the first view takes it, too. */
	start(signal, focus) {
		this.#moved = focus;
		addEventListener("popstate", () => this.#follow(), { signal });
		signal.addEventListener("abort", () => this.#leave(), { once: true });
		this.#follow();
	}

	/** To an address such as "/alerts?severity=critical". `stay`: the view shows it already. */
	navigate = (to, { replace = false, stay = false } = {}) => {
		history[replace ? "replaceState" : "pushState"](null, "", `#${to}`);
		if (!stay) this.#follow();
	};

	#follow() {
		if (!location.hash.startsWith("#/")) history.replaceState(null, "", "#/fleet");
		this.#show();
		this.#moved = true;
	}

	#leave() {
		this.#ending?.abort();
		render(null, this.main);
	}

	async #show() {
		this.#leave();
		const { signal } = (this.#ending = new AbortController());
		const { view, params, query } = routeOf(location.hash);
		const refusal = view ? refusalOf(view, this.session) : "The address leads nowhere here.";
		const focus = this.#moved;
		render(h("div.view", { "data-view": view?.name ?? "none", "aria-busy": "true" }), this.main);
		const root = this.main.firstChild;
		const name = (title) => {
			this.current = { view, title };
			this.dispatchEvent(new Event("show"));
		};
		const begin = () => {
			const heading = root.querySelector("h1");
			name(heading.textContent);
			if (!focus) return;
			heading.tabIndex = -1;
			heading.focus({ preventScroll: true });
		};
		const stop = (title, why, help) => {
			render(h("section.panel.stop", h("h1", title), h("p", why), help), root);
			root.ariaBusy = null;
			begin();
		};
		name("…");
		if (refusal) return stop(view ? "Not with this key" : "No such page", refusal, h("a", { href: "#/fleet" }, "Go to the fleet"));
		try {
			const { mount } = await load(view);
			if (signal.aborted) return;
			const mounting = mount(root, { ...this.deskFor(signal), params, query, navigate: this.navigate, signal });
			begin();
			scrollTo(0, 0);
			await mounting;
			root.ariaBusy = null;
		} catch (error) {
			if (signal.aborted) return;
			this.#ending.abort(); // or what there is of the view would be drawn again
			const ours = error.status === undefined;
			stop("Something went wrong", ours ? "This page could not be loaded." : error.message, button("Try again", () => this.#show()));
			if (ours) throw error;
		}
	}
}

const load = (view) => import(`./views/${view.name}.js`);

/** While nobody waits: then views open without the server, too. */
export function prefetch() {
	setTimeout(() => VIEWS.forEach((view) => load(view).catch(() => {})), 1_000);
}
