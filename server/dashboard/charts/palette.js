import { onTheme } from "../theme.js";

const LINES = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => `series-${number}`);
const NAMES = ["muted", "line", "surface", "critical", "warning", "info", ...LINES];

/** The theme's colours by name, as a canvas takes them, and as they are now. */
export function palette(changed, signal) {
	const colours = {};
	const read = () => {
		const probe = document.body.appendChild(document.createElement("span"));
		for (const name of NAMES) {
			probe.style.color = `var(--${name})`; // a custom property itself is not resolved
			colours[name] = getComputedStyle(probe).color;
		}
		probe.remove();
		changed();
	};
	read();
	onTheme(read, signal);
	return colours;
}
