/** What is known of the fleet: all of it now and then, what is in sight every few seconds; one request at a time. */

const PAUSE_MS = 2_000;
const HIDDEN_PAUSE_MS = 30_000;
const EACH_MS = 2; // of a device: 5,000 are all read again every 10 s
const SETTLED_MS = 150; // somebody who scrolled has arrived
const FIRST = 50; // a screenful, at once, sparklines included
const PAGE = 5_000;
const MOST_NEAR = 160; // of three sparklines each: an answer has 500 at most
const MOST_NAMED = 16_000; // characters of an address
export const SILENT_MS = 60_000;
const BY_NAME = new Intl.Collator(undefined, { numeric: true });

/** `devices`: name → device of `/v1/fleet`, with `newest`, `silent`, and its `place` by name. */
export function fleetOf(api, clock, signal) {
	const fleet = { devices: new Map(), readAt: null, error: null, whole: false, run, look };
	const near = {};
	let pages = [];
	let [places, endPause, settling] = [new Map(), () => {}];
	document.addEventListener("visibilitychange", () => document.hidden || endPause(), { signal });
	return fleet;

	/** `inSight()` names what is looked at; `changed()` follows every answer. */
	async function run(inSight, changed) {
		let due = 0;
		while (!signal.aborted) {
			try {
				if (!fleet.readAt) changed(take(await ask({ limit: FIRST, spark: "1h" })));
				if (performance.now() >= due) {
					changed(await readAll());
					due = performance.now() + fleet.devices.size * EACH_MS;
				}
				if (!document.hidden) await readNear(inSight());
				fleet.error = null;
			} catch (error) {
				if (signal.aborted) return;
				if (error.status === undefined) throw error;
				fleet.error = error;
			}
			changed();
			const pause = Math.max(document.hidden ? HIDDEN_PAUSE_MS : PAUSE_MS, fleet.error?.retryAfterMs ?? 0);
			await new Promise((resolve) => setTimeout((endPause = resolve), pause));
		}
	}

	/** Somebody looks at others: read those as soon as they stay there. */
	function look() {
		clearTimeout(settling);
		settling = setTimeout(() => fleet.error || endPause(), SETTLED_MS);
	}

	function ask(query, known) {
		return api.get("/v1/fleet", query, { known });
	}

	async function readAll() {
		const found = new Map();
		const read = []; // only pages of this time are kept: they begin elsewhere when devices come and go
		let cursor;
		do {
			const known = pages.find((page) => page.cursor === cursor) ?? { cursor };
			const page = await ask({ limit: PAGE, cursor }, known);
			read.push(known);
			take(page, found);
			cursor = page.next;
		} while (cursor);
		pages = read;
		Object.assign(fleet, { devices: found, whole: true });
	}

	async function readNear(names) {
		let left = MOST_NAMED;
		const device = names.slice(0, MOST_NEAR).filter((name) => (left -= encodeURIComponent(name).length + 8) > 0);
		if (device.length) take(await ask({ device, limit: device.length, spark: "1h" }, near));
	}

	function take({ items, spark }, into = fleet.devices) {
		fleet.readAt = clock.now();
		for (const item of items) {
			const before = fleet.devices.get(item.device)?.latest;
			item.newest = item.last_seen;
			for (const value of item.latest) {
				if (value.ts > item.newest) item.newest = value.ts;
				if (!spark) value.spark = before?.find(({ metric }) => metric === value.metric)?.spark;
			}
			item.silent = fleet.readAt - Date.parse(item.newest) > SILENT_MS;
			into.set(item.device, item);
		}
		if (items.some(({ device }) => !places.has(device))) {
			places = new Map([...into.keys()].sort(BY_NAME.compare).map((name, place) => [name, place]));
			for (const device of into.values()) device.place = places.get(device.device);
		}
		for (const device of items) device.place = places.get(device.device);
	}
}
