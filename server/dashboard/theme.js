/** Light or dark: the system's choice, or the viewer's, which this browser keeps (early.js applies it first). */

const KEPT_AS = "sluice.theme";
const SYSTEM = matchMedia("(prefers-color-scheme: dark)");
const changes = new EventTarget();

SYSTEM.addEventListener("change", () => changes.dispatchEvent(new Event("change")));

/** What was chosen: "light", "dark", or "auto" for the system's. */
export function chosenTheme() {
  return document.documentElement.dataset.theme ?? "auto";
}

/** What is shown now: "light" or "dark". */
export function shownTheme() {
  const chosen = chosenTheme();
  return chosen === "auto" ? (SYSTEM.matches ? "dark" : "light") : chosen;
}

/** Choose "light", "dark" or "auto", from now on and in this browser. */
export function chooseTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === "auto") localStorage.removeItem(KEPT_AS);
    else localStorage.setItem(KEPT_AS, theme);
  } catch {
    // storage is closed to us: the choice lasts as long as the tab
  }
  changes.dispatchEvent(new Event("change"));
}

/** Call back when other colours are shown: what draws on a canvas has to draw anew. */
export function onTheme(callback, signal) {
  changes.addEventListener("change", () => callback(shownTheme()), { signal });
}
