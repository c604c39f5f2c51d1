/** Light or dark: the system's choice, or the viewer's, which this browser keeps (early.js applies it first). */

const SYSTEM = matchMedia("(prefers-color-scheme: dark)");
const changes = new EventTarget();
const tell = () => changes.dispatchEvent(new Event("change"));

SYSTEM.addEventListener("change", tell);

export const chosenTheme = () => document.documentElement.dataset.theme ?? "auto";

export function chooseTheme(theme) {
	document.documentElement.dataset.theme = theme;
	localStorage?.setItem("sluice.theme", theme);
	tell();
}

/** Call back when other colours are shown: what draws on a canvas has to draw anew. */
export const onTheme = (callback, signal) => changes.addEventListener("change", callback, { signal });
