/** Who is signed in, how the page looks, and the way out. */

import { byId, part, setText } from "./dom.js";
import { formatDuration, formatUtc, ZONE } from "./format.js";
import { chooseTheme, chosenTheme } from "./theme.js";

/** Fill the header's menu for a session, until the signal. */
export function showAccount(session, clock, signal) {
  const { key } = session;
  const menu = byId("account-details");
  setText(part(byId("account"), "name"), key.name);
  setText(part(menu, "name"), key.name);
  setText(part(menu, "scopes"), key.scopes.join(", "));
  setText(part(menu, "devices"), key.device_glob ?? "all");
  setText(part(menu, "zone"), ZONE);
  const expiry = part(menu, "expires");
  const showExpiry = () => {
    setText(expiry, `in ${formatDuration(Date.parse(session.expiresAt) - clock.now())}`);
    expiry.title = formatUtc(session.expiresAt);
  };
  const learnExpiry = async ({ newState }) => {
    showExpiry();
    if (newState !== "open") return;
    await session.renew(); // its end moves on with use
    if (!signal.aborted) showExpiry();
  };
  menu.addEventListener("toggle", learnExpiry, { signal });
  const logOut = async () => {
    menu.hidePopover();
    try {
      await session.logOut();
    } catch (error) {
      setText(byId("notice"), `You are still signed in: ${error.message}`);
      byId("notice").hidden = false;
    }
  };
  byId("log-out").addEventListener("click", logOut, { signal });
}

/** Let the viewer choose between light, dark and the system's. */
export function offerThemes() {
  for (const choice of document.querySelectorAll("input[name=theme]")) {
    choice.checked = choice.value === chosenTheme();
    choice.addEventListener("change", () => chooseTheme(choice.value));
  }
}
