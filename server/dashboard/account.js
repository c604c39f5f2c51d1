/** Who is signed in, how the page looks, and the way out. */

import { byId, notify } from "./dom.js";
import { formatDuration, formatUtc, ZONE } from "./format.js";
import { chooseTheme, chosenTheme } from "./theme.js";
import { button, choices, facts, h, render, shape } from "./tree.js";

const THEMES = { auto: "System", light: "Light", dark: "Dark" };

export function showAccount(session, clock, signal) {
	const { name, scopes, device_glob: devices } = session.key;
	const menu = byId("account-details");
	render([shape("person"), h("span.unseen", "Signed in with the key"), h("span.name", name)], byId("account"));

	function draw() {
		const ends = h("span", { title: formatUtc(session.expiresAt) }, `in ${formatDuration(Date.parse(session.expiresAt) - clock.now())}`);
		render([
			facts([
				["Key", name],
				["Scopes", scopes.join(", ")],
				["Devices", devices ?? "all"],
				["Session ends", [ends, h("span.muted", " without use")]],
				["Times in", [ZONE, h("span.muted", "; hover for UTC")]],
			]),
			choices("Appearance", "theme", Object.entries(THEMES), chosenTheme(), chooseTheme),
			button("Log out", leave),
		], menu);
	}

	async function leave() {
		menu.hidePopover();
		try {
			await session.logOut();
		} catch (error) {
			notify(`You are still signed in: ${error.message}`);
		}
	}

	draw();
	menu.addEventListener("toggle", async ({ newState }) => {
		if (newState !== "open") return;
		await session.renew(); // its end moves on with use
		if (!signal.aborted) draw();
	}, { signal });
}
