/** The theme's colours, as a canvas takes them. */

import { onTheme } from "../theme.js";

const NAMES = ["muted", "line", "surface", "critical", "warning", "info"];
const LINES = [1, 2, 3, 4, 5, 6, 7, 8];

/** Gives them by name, kept as they are shown; `lines` and, behind a line, `clouds` have one for each. */
export function palette(root, changed, signal) {
  const colours = {};
  const read = () => {
    const probe = root.appendChild(document.createElement("span"));
    const colour = (name) => {
      probe.style.color = `var(--${name})`; // a custom property itself is not resolved
      return getComputedStyle(probe).color;
    };
    for (const name of NAMES) colours[name] = colour(name);
    colours.lines = LINES.map((number) => colour(`series-${number}`));
    colours.clouds = colours.lines.map((text) => text.replace("rgb(", "rgba(").replace(")", ", 0.18)"));
    probe.remove();
  };
  read();
  onTheme(() => {
    read();
    changed();
  }, signal);
  return colours;
}
