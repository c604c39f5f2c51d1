/** The theme's colours, as a canvas takes them. */

import { onTheme } from "../theme.js";

const NAMES = ["ink", "muted", "line", "surface", "critical", "warning", "info"];
const LINES = [1, 2, 3, 4, 5, 6, 7, 8];

export class Palette {
  /** By name, as they are shown now; `lines` and, behind a line, `clouds` have one for each. */
  colours = {};

  /** @param {HTMLElement} root whose colours are meant  @param {Function} changed is called when there are others */
  constructor(root, changed, signal) {
    this.#read(root);
    onTheme(() => {
      this.#read(root);
      changed();
    }, signal);
  }

  #read(root) {
    const probe = root.appendChild(document.createElement("span"));
    const colour = (name) => {
      probe.style.color = `var(--${name})`; // a custom property itself is not resolved
      return getComputedStyle(probe).color;
    };
    Object.assign(this.colours, Object.fromEntries(NAMES.map((name) => [name, colour(name)])));
    this.colours.lines = LINES.map((number) => colour(`series-${number}`));
    this.colours.clouds = this.colours.lines.map((text) => text.replace("rgb(", "rgba(").replace(")", ", 0.18)"));
    probe.remove();
  }
}
