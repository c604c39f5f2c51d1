import { onTheme } from "../theme.js";

const NAMES = ["muted", "line", "surface", "critical", "warning", "info"];
const LINES = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => `var(--series-${number})`);

/** The theme's colours by name, as a canvas takes them, and as they are now; `lines` has one for each. */
export function palette(changed, signal) {
	const colours = {};
	const read = () => {
		const probe = document.body.appendChild(document.createElement("span"));
		const colour = (text) => {
			probe.style.color = text; // a custom property itself is not resolved
			return getComputedStyle(probe).color;
		};
		for (const name of NAMES) colours[name] = colour(`var(--${name})`);
		colours.lines = LINES.map(colour);
		probe.remove();
		changed();
	};
	read();
	onTheme(read, signal);
	return colours;
}
