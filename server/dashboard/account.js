/** Who is signed in, how the page looks, and the way out. */

import { byId, part, setText } from "./dom.js";
import { formatDuration, formatUtc, ZONE } from "./format.js";
import { chooseTheme, chosenTheme } from "./theme.js";

export function showAccount(session, clock, signal) {
  const { key } = session;
  const menu = byId("account-details");
  const texts = { name: key.name, scopes: key.scopes.join(", "), devices: key.device_glob ?? "all", zone: ZONE };
  for (const [name, text] of Object.entries(texts)) setText(part(menu, name), text);
  setText(part(byId("account"), "name"), key.name);
  menu.addEventListener("toggle", async ({ newState }) => {
    if (newState !== "open") return;
    await session.renew(); // its end moves on with use
    if (signal.aborted) return;
    setText(part(menu, "expires"), `in ${formatDuration(Date.parse(session.expiresAt) - clock.now())}`);
    part(menu, "expires").title = formatUtc(session.expiresAt);
  }, { signal });
  byId("log-out").addEventListener("click", async () => {
    menu.hidePopover();
    try {
      await session.logOut();
    } catch (error) {
      setText(byId("notice"), `You are still signed in: ${error.message}`);
      byId("notice").hidden = false;
    }
  }, { signal });
}

export function offerThemes() {
  for (const choice of document.querySelectorAll("input[name=theme]")) {
    choice.checked = choice.value === chosenTheme();
    choice.addEventListener("change", () => chooseTheme(choice.value));
  }
}
