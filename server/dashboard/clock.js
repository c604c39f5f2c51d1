/** The server's time, and one tick a second. */

const TICK_MS = 1_000;
const SKEW_NOTICED_MS = 2_000; // the Date header is in whole seconds

export class Clock {
	#skewMs = 0;
	#ticking = new EventTarget();

	constructor() {
		const tick = () => document.hidden || this.#ticking.dispatchEvent(new Event("tick"));
		setInterval(tick, TICK_MS);
		document.addEventListener("visibilitychange", tick);
	}

	/** On the server: ages must not depend on a viewer's wrong clock. */
	now() {
		return Date.now() + this.#skewMs;
	}

	tick(callback, signal) {
		this.#ticking.addEventListener("tick", () => callback(this.now()), { signal });
	}

	learn(date, asked) {
		const took = Date.now() - asked;
		if (!date || took > SKEW_NOTICED_MS) return;
		const skew = Date.parse(date) + 500 - (asked + took / 2); // +500: Date is cut to whole seconds
		this.#skewMs = Math.abs(skew) > SKEW_NOTICED_MS ? skew : 0;
	}
}
