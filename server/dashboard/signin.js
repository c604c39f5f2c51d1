/** The form that takes a key, and what it says when a key does not do. */

import { byId } from "./dom.js";
import { h, render } from "./tree.js";

const REASONS = {
	0: "The server does not answer.",
	503: "Sluice is running, but its database does not answer.",
};

/** What to do about a key, by the status of the answer. */
const ADVICE = {
	0: () => `${REASONS[0]} Is it still running? Try again in a moment.`,
	401: () => "This key is not accepted: it is wrong, expired or revoked. Copy the whole line from the file below, "
		+ "or make a new key with “sluice key create”.",
	403: ({ message }) => message || "This key is valid but may not read. Use one with the scope read or admin.",
	429: ({ retryAfterMs }) => `Too many keys were tried from here. Try again in ${(retryAfterMs || 60_000) / 1_000} s.`,
	503: () => `${REASONS[503]} Try again in a moment.`,
};

export const reasonFor = (error) => REASONS[error.status] ?? error.message;

/** Ask for a key, and say why. `onKey(key)` may throw an ApiError, which is then explained. */
export function showSignIn(reason, onKey) {
	const place = byId("sign-in");
	let trying = false;

	function say(problem) {
		render(h("form.panel", { novalidate: true, onsubmit: attempt },
			h("h1", "Open the dashboard"),
			h("p.muted", { id: "key-hint" }, "Paste an API key with the scope ", h("code", "read"), " or ", h("code", "admin"), "."),
			h("label", { for: "key" }, "API key"),
			h("input", {
				id: "key", type: "password", placeholder: "slk_…", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
				required: true, "aria-describedby": "key-hint key-problem", "aria-invalid": problem !== "",
			}),
			h("p.problem", { id: "key-problem", role: "alert" }, problem),
			h("button.main", { disabled: trying }, "Sign in"),
			h("p.muted.small", "The first start printed an admin key, and keeps it here:"),
			h("pre.command", { tabindex: 0 }, h("code", "cat .sluice/admin.key")),
			h("p.muted.small", "The key is sent once, in exchange for a session that this browser keeps in a cookie no script can read. "
				+ "It is stored nowhere here.")), place);
		if (problem) byId("key").focus();
	}

	async function attempt(event) {
		event.preventDefault();
		const key = byId("key").value.trim();
		if (!/^slk_[!-~]+$/.test(key)) return say(key ? "That is not a key of Sluice: they begin with “slk_”." : "Paste a key first.");
		trying = true;
		say("");
		try {
			await onKey(key);
		} catch (error) {
			trying = false;
			say(ADVICE[error.status]?.(error) ?? error.message);
		}
	}

	place.hidden = false;
	say(reason);
	byId("key").focus();
}

export function hideSignIn() {
	render(null, byId("sign-in"));
	byId("sign-in").hidden = true;
}
