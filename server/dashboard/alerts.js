/** The alerts: which are firing, and which were resolved last. Read now and then, and moved on by events meanwhile. */

import { follow } from "./listing.js";

const PAGE = 1_000;
const MOST_FIRING = 10_000; // a page with more alerts helps nobody
export const MOST_RESOLVED = 50;
const TOGETHER_MS = 50;

export const SEVERITY_RANK = { info: 1, warning: 2, critical: 3 };

export const newestFirst = (moment) => (a, b) => Date.parse(b[moment] ?? 0) - Date.parse(a[moment] ?? 0);

export class Alerts extends EventTarget {
	#api;
	#live;
	#device;
	#since = []; // events since the last question, whose answer may not contain them
	#telling;
	#release; // of what makes the page say that it is behind
	#more = false; // are firing than were read

	/** Id → alert, as the contract shows it. */
	firing = new Map();
	resolved = new Map();
	/** Whether the last attempt to read them did not fail. */
	sure = false;

	/** Of the whole fleet, or of one device. */
	constructor(api, live, device) {
		super();
		this.#api = api;
		this.#live = live;
		this.#device = device;
	}

	/** Even while events come it is read again: should the two ever differ, the answer is right. */
	start(clock, signal) {
		const list = follow({ clock, signal }, () => this.#read(), () => this.#take(list));
		this.load = list.load;
		this.#release = this.#live.hold();
		signal.addEventListener("abort", () => this.#release?.(), { once: true });
		this.#live.subscribe(this.#device ? `alerts:${this.#device}` : "alerts", {
			onData: (event) => this.#apply(event),
			onSubscribed: (recovered) => recovered || this.load(),
			onRefused: () => this.load(), // by a key that is bound to some devices: it reads now and then
		}, signal);
		this.load();
	}

	watch(callback, signal) {
		if (signal.aborted) return;
		this.addEventListener("change", () => callback(this), { signal });
		callback(this);
	}

	/** How many are firing: "3", or "10000+" where that is all we know. */
	get count() {
		return `${this.firing.size}${this.#more ? "+" : ""}`;
	}

	firingOf(id) {
		return [...this.firing.values()].filter(({ rule }) => rule.id === id).length;
	}

	/** What is firing: the worst first, among equals the newest. */
	firingInOrder() {
		const rank = ({ severity }) => SEVERITY_RANK[severity] ?? 0;
		const newer = newestFirst("fired_at");
		return [...this.firing.values()].sort((a, b) => rank(b) - rank(a) || newer(a, b));
	}

	severities() {
		return new Map(this.firingInOrder().reverse().map(({ device, severity }) => [device, severity]));
	}

	#apply(event) {
		this.#since.push(event);
		this.#move(event);
		this.dispatchEvent(new CustomEvent("event", { detail: event })); // {event, at, alert}
		this.#telling ??= setTimeout(() => {
			this.#telling = null;
			this.dispatchEvent(new Event("change"));
		}, TOGETHER_MS);
	}

	#read() {
		this.#since = [];
		const ask = (query) => this.#api.get("/v1/alerts", { device: this.#device, ...query });
		const readFiring = async () => {
			const items = [];
			let next;
			do {
				const page = await ask({ state: "firing", limit: PAGE, cursor: next });
				items.push(...page.items);
				({ next } = page);
			} while (next && items.length < MOST_FIRING);
			return { items, next };
		};
		return Promise.all([readFiring(), ask({ state: "resolved", limit: MOST_RESOLVED })]);
	}

	#take({ answer, problem }) {
		this.sure = !problem;
		if (problem) this.#release ??= this.#live.hold();
		else {
			[this.firing, this.resolved] = answer.map(({ items }) => new Map(items.map((alert) => [alert.id, alert])));
			this.#more = Boolean(answer[0].next);
			this.#since.forEach((event) => this.#move(event));
			this.#release?.();
			this.#release = null;
		}
		this.dispatchEvent(new Event("change"));
	}

	#move({ event, alert }) {
		const before = this.firing.get(alert.id);
		// What an event does not carry: whether it is silenced, and what was said when it was acknowledged.
		alert.silenced ??= event === "silenced" || (event !== "unsilenced" && Boolean(before?.silenced));
		alert.acknowledged_comment ??= before?.acknowledged_comment ?? "";
		this.firing.delete(alert.id);
		this.resolved.delete(alert.id);
		(alert.state === "firing" ? this.firing : this.resolved).set(alert.id, alert);
		const newest = [...this.resolved.values()].sort(newestFirst("resolved_at"));
		for (const { id } of newest.slice(MOST_RESOLVED)) this.resolved.delete(id);
	}
}

/** Whether a glob (`*` any characters, `?` one) covers a name. */
export function covers(glob, name) {
	const parts = { "*": ".*", "?": "." };
	const pattern = glob.replace(/[\\^$.*+?()[\]{}|/]/g, (char) => parts[char] ?? `\\${char}`);
	return new RegExp(`^${pattern}$`, "su").test(name);
}
