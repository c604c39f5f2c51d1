import { byId, notify } from "./dom.js";
import { ZONE } from "./format.js";
import { chooseTheme, chosenTheme } from "./theme.js";
import { button, choices, h, render, shape } from "./tree.js";

const THEMES = [["auto", "System"], ["light", "Light"], ["dark", "Dark"]];

export function showAccount(session) {
	const { name, scopes, device_glob: devices } = session.key;

	async function leave() {
		try {
			await session.logOut();
		} catch (error) {
			notify(`You are still signed in: ${error.message}`);
		}
	}

	render([shape("person"), h("span.unseen", "Signed in with the key"), h("span.name", name)], byId("account"));
	render([
		h("dl.facts",
			h("dt", "Scopes"), h("dd", scopes.join(", ")),
			h("dt", "Devices"), h("dd", devices ?? "all"),
			h("dt", "Times in"), h("dd", ZONE, h("span.muted", "; hover for UTC"))),
		choices("Appearance", "theme", THEMES, chosenTheme(), chooseTheme),
		button("Log out", leave),
	], byId("account-details"));
}
