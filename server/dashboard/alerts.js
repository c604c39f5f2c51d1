/** Which alerts are firing, and which were resolved last: read now and then, and moved on by events meanwhile. */

import { follow } from "./listing.js";

const PAGE = 1_000;
const MOST_FIRING = 10_000;
const MOST_RESOLVED = 50;
const TOGETHER_MS = 50;

export const SEVERITY_RANK = { info: 1, warning: 2, critical: 3 };

export const newestFirst = (moment) => (a, b) => Date.parse(b[moment] ?? 0) - Date.parse(a[moment] ?? 0);

export class Alerts extends EventTarget {
	#since = []; // events that the answer to the last question may not contain
	#telling;
	#release; // until then the page says that it is behind
	#more = false; // are firing than were read

	firing = new Map(); // id → alert
	resolved = new Map();
	known = false; // whether they were ever read
	sure = false; // whether they were when last tried

	constructor(api, live, device) {
		super();
		Object.assign(this, { api, live, device });
	}

	start(clock, signal) {
		const list = follow({ clock, signal }, () => this.#read(), () => this.#take(list));
		this.load = list.load;
		this.#release = this.live.hold();
		signal.addEventListener("abort", () => this.#release?.(), { once: true });
		this.live.subscribe(this.device ? `alerts:${this.device}` : "alerts", {
			onData: (event) => this.#apply(event),
			onSubscribed: (recovered) => recovered || this.load(),
		}, signal);
		this.load();
	}

	watch(callback, signal) {
		this.addEventListener("change", callback, { signal });
		callback();
	}

	get count() {
		return `${this.firing.size}${this.#more ? "+" : ""}`;
	}

	firingInOrder() {
		const rank = ({ severity }) => SEVERITY_RANK[severity] ?? 0;
		const newer = newestFirst("fired_at");
		return [...this.firing.values()].sort((a, b) => rank(b) - rank(a) || newer(a, b));
	}

	#apply(event) {
		this.#since.push(event);
		this.#move(event);
		this.dispatchEvent(new CustomEvent("event", { detail: event }));
		this.#telling ??= setTimeout(() => {
			this.#telling = null;
			this.dispatchEvent(new Event("change"));
		}, TOGETHER_MS);
	}

	#read() {
		this.#since = [];
		const ask = (query) => this.api.get("/v1/alerts", { device: this.device, ...query });
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
		if (problem) this.#release ??= this.live.hold();
		else {
			this.known = true;
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
		// Events do not carry whether it is silenced, and what was said when it was acknowledged.
		alert.silenced ??= event === "silenced" || (event !== "unsilenced" && Boolean(before?.silenced));
		alert.acknowledged_comment ??= before?.acknowledged_comment ?? "";
		this.firing.delete(alert.id);
		this.resolved.delete(alert.id);
		(alert.state === "firing" ? this.firing : this.resolved).set(alert.id, alert);
		const newest = [...this.resolved.values()].sort(newestFirst("resolved_at"));
		for (const { id } of newest.slice(MOST_RESOLVED)) this.resolved.delete(id);
	}
}

export function covers(glob, name) {
	const parts = { "*": ".*", "?": "." };
	const pattern = glob.replace(/[\\^$.*+?()[\]{}|/]/g, (char) => parts[char] ?? `\\${char}`);
	return new RegExp(`^${pattern}$`, "su").test(name);
}
