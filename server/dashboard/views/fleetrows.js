/** The devices as rows, of which only those near the screen exist. */

import { counted, formatDuration, formatLabels, formatUtc, formatValue } from "../format.js";
import { h, shape } from "../tree.js";

const SPARE = 8; // rows beyond each edge of the screen
const UNKNOWN = [];
const courses = new WeakMap();
const SHAPES = { silent: "stale", fine: "live" };

/** `look()` follows when others come into sight. */
export function rowsOf(look, paint, signal) {
	let devices = [];
	let near = []; // the names in sight
	let held; // the name that Tab leads to, even out of sight
	let body = null;
	const soon = () => requestAnimationFrame(() => signal.aborted || paint());
	for (const name of ["scroll", "resize"]) addEventListener(name, soon, { signal, passive: true });
	return { tree, near: () => near };

	function tree(wanted, now) {
		devices = wanted;
		if (!devices.some(({ device }) => device === held)) held = devices[0]?.device;
		const height = rowHeight();
		const above = body ? -body.getBoundingClientRect().top / height : 0;
		const below = above + innerHeight / height;
		const places = [...devices.keys()].filter((place) =>
			(place > above - SPARE && place < below + SPARE) || devices[place].device === held);
		const before = new Set(near);
		near = places.map((place) => devices[place].device);
		if (near.some((name) => !before.has(name))) look();
		const heads = ["Device", "State", "Newest values, and the last hour", "Age"].map((head, place) =>
			h("span", { role: "columnheader", "aria-colspan": place === 2 ? 3 : null }, head));
		return h("div.fleet-grid.panel",
			{ hidden: !devices.length, role: "grid", "aria-label": "Devices; arrow keys move", "aria-rowcount": devices.length + 1 },
			h("div.heads", { role: "rowgroup" }, h("div", { role: "row" }, heads)),
			h("div.devices", {
				role: "rowgroup",
				style: `height: ${devices.length * height}px`,
				ref: (node) => (body = node),
				onclick: open,
				onkeydown: move,
				onfocusin: take,
			}, places.map((place) => deviceRow(devices[place], place, place * height, devices[place].device === held, now))));
	}

	/** The style decides. */
	function rowHeight() {
		return (body && Number.parseFloat(getComputedStyle(body).scrollPaddingTop)) || 50;
	}

	function open({ target }) {
		if (!target.closest("a")) target.closest(".device")?.querySelector("a").click();
	}

	function take({ target }) {
		held = target.textContent;
		paint();
	}

	function move(event) {
		const page = Math.max(1, Math.floor(innerHeight / rowHeight()) - 2);
		const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
		const step = steps[event.key];
		if (!step || event.altKey || event.ctrlKey) return;
		event.preventDefault();
		const place = devices.findIndex(({ device }) => device === held) + step;
		held = devices[Math.min(devices.length - 1, Math.max(0, place))].device;
		paint(); // now it exists; the focus takes the screen there
		body.querySelector('a[tabindex="0"]').focus();
	}
}

function deviceRow({ device, metrics, state, latest, newest }, place, top, held, now) {
	const attributes = {
		key: device,
		role: "row",
		"aria-rowindex": place + 2,
		"data-device": device,
		"data-kind": state,
		style: `transform: translateY(${top}px)`,
	};
	const cell = (name, ...children) => h(name, { role: "gridcell" }, children);
	return h("div.device", attributes,
		cell("div.name",
			h("a", { href: `#/devices/${encodeURIComponent(device)}`, title: device, tabindex: held ? 0 : -1 }, device),
			h("span.muted.small", counted(metrics, "metric"))),
		cell("div.tag", shape(SHAPES[state] ?? state), h("span", state[0].toUpperCase() + state.slice(1))),
		[0, 1, 2].map((nth) => h("div.reading", { role: "gridcell", hidden: !latest[nth] }, latest[nth] && reading(latest[nth]))),
		cell("div", h("time.muted.small", { datetime: newest, title: formatUtc(newest) }, formatDuration(now - Date.parse(newest)))));
}

function reading({ metric, labels, value, spark = UNKNOWN }) {
	if (!courses.has(spark)) courses.set(spark, courseOf(spark));
	const { path, said } = courses.get(spark);
	return [
		h("span.muted.small", { title: `${metric} ${formatLabels(labels)}` }, metric),
		h("b", { title: value }, formatValue(value)),
		h("svg.spark", { role: "img", viewBox: "0 0 90 24", preserveAspectRatio: "none", "aria-label": `${metric}, the last hour: ${said}` },
			h("path", { d: path })),
	];
}

/** The means as one path, null where there is none: a gap stays one, and one alone is a dot. */
function courseOf(means) {
	const there = means.filter(Number.isFinite);
	const [low, high] = [Math.min(...there), Math.max(...there)];
	const path = means.map((mean, place) => {
		const [before, after] = [means[place - 1], means[place + 1]].map(Number.isFinite);
		const y = high > low ? 22 - ((mean - low) / (high - low)) * 20 : 12;
		return mean === null ? "" : `${before ? "L" : "M"}${place * 3} ${y.toFixed(1)}${before || after ? "" : "h2"}`;
	}).join("");
	return { path, said: there.length ? `${formatValue(low)} to ${formatValue(high)}` : "no readings" };
}
