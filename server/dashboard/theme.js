/** Light or dark: the system's choice, or the viewer's (early.js applies it first). */

const SYSTEM = matchMedia("(prefers-color-scheme: dark)");

export const chosenTheme = () => document.documentElement.dataset.theme ?? "auto";

export function chooseTheme(theme) {
	document.documentElement.dataset.theme = theme;
	localStorage?.setItem("sluice.theme", theme);
	SYSTEM.dispatchEvent(new Event("change"));
}

/** What draws on a canvas has to draw anew. */
export const onTheme = (callback, signal) => SYSTEM.addEventListener("change", callback, { signal });
