/**
 * `/ws`, live, by the official client: it connects again after a growing pause, and asks for what it missed.
 *
 * `state` is `{name, since, heard, reason}`: times are milliseconds of the server's clock, `heard` is when anything came last.
 *   "live"          connected, and everything that happened is on the page
 *   "behind"        connected, and catching up: what the page shows may be old
 *   "reconnecting"  not connected; trying again by itself
 *   "offline"       not connected, and nothing is being tried: see `reason`
 */

import "./vendor/centrifuge/centrifuge.js";

const { Centrifuge } = globalThis;
const PAUSES = { minReconnectDelay: 500, maxReconnectDelay: 20_000 };
const NOT_ASKED_AGAIN = 3_500; // close codes from 3500 to 3999, and those below 3000, mean: do not come back

export class Live extends EventTarget {
	#clock;
	#client = null;
	#late = new Set(); // what is not caught up yet

	state = { name: "reconnecting", since: 0, heard: null, reason: "" };

	constructor(clock) {
		super();
		this.#clock = clock;
		this.state.since = clock.now();
	}

	start(session, api, signal) {
		const url = `${location.protocol.replace("http", "ws")}//${location.host}/ws`;
		const getToken = async () => {
			try {
				return (await api.post("/v1/tokens")).token;
			} catch (error) {
				if (error.status === 401 || error.status === 403) throw new Centrifuge.UnauthorizedError(error.message);
				throw error;
			}
		};
		const client = new Centrifuge(url, { ...PAUSES, getToken, websocket: this.#hearing() });
		this.#client = client;
		for (const event of ["connected", "connecting", "error"]) client.on(event, () => this.#show());
		client.on("disconnected", ({ code, reason }) => {
			this.#show(reason);
			if (code >= NOT_ASKED_AGAIN || code === 1) session.renew(); // it says so where the key is revoked
		});
		addEventListener("offline", () => this.#show(), { signal });
		addEventListener("online", () => this.retry(), { signal });
		signal.addEventListener("abort", () => {
			this.#client = null;
			client.removeAllListeners();
			client.disconnect();
		}, { once: true });
		client.connect();
	}

	retry() {
		if (!this.#client || this.#client.state === "connected") return;
		this.#client.disconnect();
		this.#client.connect();
	}

	watch(callback, signal) {
		this.addEventListener("state", callback, { signal });
		callback();
	}

	/** Until what this gives is called, something on the page is behind. */
	hold() {
		const hold = {};
		this.#late.add(hold);
		this.#show();
		return () => this.#late.delete(hold) && this.#show();
	}

	/** A channel, until the signal. `onSubscribed(false)` says that something may be missing for ever: load anew. */
	subscribe(channel, { data, onData, onSubscribed, onRefused }, signal) {
		const client = this.#client;
		if (signal.aborted || !client) return;
		const subscription = client.newSubscription(channel, data ? { data } : {});
		let release = null;
		const settled = () => {
			release?.();
			release = null;
		};
		subscription.on("subscribing", () => (release ??= this.hold()));
		subscription.on("subscribed", ({ recovered }) => {
			settled();
			onSubscribed?.(recovered);
		});
		subscription.on("unsubscribed", ({ code }) => {
			settled();
			if (code > 0) onRefused?.();
		});
		subscription.on("publication", ({ data: published }) => onData(published));
		subscription.subscribe();
		signal.addEventListener("abort", () => client.removeSubscription(subscription), { once: true }); // unsubscribes first
	}

	/** The browser's socket, which also tells when anything came: the client keeps the server's pings to itself. */
	#hearing() {
		const heard = () => (this.state.heard = this.#clock.now());
		return class extends WebSocket {
			constructor(...details) {
				super(...details);
				this.addEventListener("message", heard);
			}
		};
	}

	#show(reason = "") {
		const connection = this.#client?.state;
		const tried = connection === "connecting" && navigator.onLine;
		const name = connection === "connected" ? (this.#late.size ? "behind" : "live") : tried ? "reconnecting" : "offline";
		if (name === this.state.name && reason === this.state.reason) return;
		const since = name === this.state.name ? this.state.since : this.#clock.now();
		this.state = { ...this.state, name, since, reason };
		this.dispatchEvent(new Event("state"));
	}
}
