/** All of the fleet is read now and then, what is in sight every few seconds; one request at a time. */

const PAUSE_MS = 2_000;
const EACH_MS = 2; // of a device: 5,000 are all read again every 10 s
const SETTLED_MS = 150; // who scrolled has arrived
const FIRST = 50; // a screenful, at once, sparklines included
const PAGE = 5_000;
const MOST_NEAR = 160; // of three sparklines each: an answer has 500 at most
const MOST_NAMED = 16_000; // characters of an address
export const SILENT_MS = 60_000;
const BY_NAME = new Intl.Collator(undefined, { numeric: true });

/** `devices`: name → device of `/v1/fleet`, with `newest` and `silent`; in order of their names. */
export function fleetOf(api, clock, signal) {
	const fleet = { devices: new Map(), readAt: null, error: null, whole: false, run, look };
	let endPause = () => {};
	let settling;
	document.addEventListener("visibilitychange", () => document.hidden || endPause(), { signal });
	return fleet;

	/** `inSight()` names what is looked at; `changed()` follows every answer. */
	async function run(inSight, changed) {
		let due = 0;
		while (!signal.aborted) {
			try {
				if (!fleet.readAt) {
					await read({ limit: FIRST, spark: "1h" });
					changed();
				}
				if (performance.now() >= due) {
					await readAll();
					changed();
					due = performance.now() + fleet.devices.size * EACH_MS;
				}
				await readNear(inSight());
				fleet.error = null;
			} catch (error) {
				if (signal.aborted) return;
				if (error.status === undefined) throw error;
				fleet.error = error;
			}
			changed();
			await new Promise((resolve) => {
				endPause = resolve;
				if (!document.hidden) setTimeout(resolve, Math.max(PAUSE_MS, fleet.error?.retryAfterMs ?? 0));
			});
		}
	}

	function look() {
		clearTimeout(settling);
		settling = setTimeout(() => fleet.error || endPause(), SETTLED_MS);
	}

	async function readAll() {
		const found = new Set();
		let cursor;
		do {
			const { items, next } = await read({ limit: PAGE, cursor });
			for (const { device } of items) found.add(device);
			cursor = next;
		} while (cursor);
		for (const name of fleet.devices.keys()) if (!found.has(name)) fleet.devices.delete(name);
		fleet.whole = true;
	}

	async function readNear(names) {
		let left = MOST_NAMED;
		const device = names.slice(0, MOST_NEAR).filter((name) => (left -= encodeURIComponent(name).length + 8) > 0);
		if (device.length) await read({ device, limit: device.length, spark: "1h" });
	}

	async function read(query) {
		const page = await api.get("/v1/fleet", query);
		const { size } = fleet.devices;
		fleet.readAt = clock.now();
		for (const item of page.items) {
			const before = fleet.devices.get(item.device)?.latest;
			item.newest = item.last_seen;
			for (const value of item.latest) {
				if (value.ts > item.newest) item.newest = value.ts;
				if (!query.spark) value.spark = before?.find(({ metric }) => metric === value.metric)?.spark;
			}
			item.silent = fleet.readAt - Date.parse(item.newest) > SILENT_MS;
			fleet.devices.set(item.device, item);
		}
		if (fleet.devices.size > size) fleet.devices = new Map([...fleet.devices].sort(([a], [b]) => BY_NAME.compare(a, b)));
		return page;
	}
}
