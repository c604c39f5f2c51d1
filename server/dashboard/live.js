/** `/ws`, by the official client: it connects again after a growing pause, and asks for what it missed. */

import "./vendor/centrifuge/centrifuge.js";

const { Centrifuge } = globalThis;

export class Live extends EventTarget {
	#client;
	#late = new Set();

	constructor(clock) {
		super();
		this.clock = clock;
		this.state = { name: "reconnecting", since: clock.now(), reason: "" }; // or "live", "behind", "offline"
	}

	start(session, api, signal) {
		const getToken = async () => (await api.post("/v1/tokens")).token;
		const client = new Centrifuge(`${location.origin.replace("http", "ws")}/ws`, { getToken });
		this.#client = client;
		for (const event of ["connected", "connecting", "error"]) client.on(event, () => this.#show());
		client.on("disconnected", ({ reason }) => {
			this.#show(reason);
			session.renew(); // the key may be revoked
		});
		signal.addEventListener("abort", () => {
			client.removeAllListeners();
			client.disconnect();
		}, { once: true });
		client.connect();
	}

	retry() {
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

	/** `onSubscribed(false)`: something may be missing for ever. */
	subscribe(channel, { data, onData, onSubscribed, onRefused }, signal) {
		const subscription = this.#client.newSubscription(channel, data ? { data } : {});
		let release = null;
		subscription.on("state", ({ newState }) => {
			release?.();
			release = newState === "subscribing" ? this.hold() : null;
		});
		subscription.on("subscribed", ({ recovered }) => onSubscribed?.(recovered));
		subscription.on("unsubscribed", ({ code }) => code > 0 && onRefused?.());
		subscription.on("publication", ({ data: published }) => onData(published));
		subscription.subscribe();
		signal.addEventListener("abort", () => this.#client.removeSubscription(subscription), { once: true });
	}

	#show(reason = "") {
		const { state: connection } = this.#client;
		const tried = connection === "connecting" && navigator.onLine;
		const name = connection === "connected" ? (this.#late.size ? "behind" : "live") : tried ? "reconnecting" : "offline";
		if (name === this.state.name && reason === this.state.reason) return;
		const since = name === this.state.name ? this.state.since : this.clock.now();
		this.state = { name, since, reason };
		this.dispatchEvent(new Event("state"));
	}
}
