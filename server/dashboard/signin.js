import { byId } from "./dom.js";
import { h, render } from "./tree.js";

const NOT_ACCEPTED = "This key is not accepted: it is wrong, expired or revoked. Copy the whole line from the file below, "
	+ "or make a new key with “sluice key create”.";

/** What `onKey(key)` throws is shown. */
export function showSignIn(reason, onKey) {
	const place = byId("sign-in");
	let trying = false;

	function say(problem) {
		render(h("form.panel", { novalidate: true, onsubmit: attempt },
			h("h1", "Open the dashboard"),
			h("p.muted", { id: "key-hint" }, "Paste an API key with the scope ", h("code", "read"), " or ", h("code", "admin"), "."),
			h("label", { for: "key" }, "API key"),
			h("input", {
				id: "key", type: "password", placeholder: "slk_…", autocomplete: "off", required: true,
				"aria-describedby": "key-hint key-problem", "aria-invalid": problem !== "",
			}),
			h("p.problem", { id: "key-problem", role: "alert" }, problem),
			h("button.main", { disabled: trying }, "Sign in"),
			h("p.muted.small", "The first start printed an admin key, and keeps it here:"),
			h("pre.command", { tabindex: 0 }, h("code", "cat .sluice/admin.key"))), place);
		if (problem) byId("key").focus();
	}

	async function attempt(event) {
		event.preventDefault();
		const key = byId("key").value.trim();
		if (!/^slk_[!-~]+$/.test(key)) return say("Paste a key of Sluice: they begin with “slk_”.");
		trying = true;
		say("");
		try {
			await onKey(key);
		} catch (error) {
			trying = false;
			say(error.status === 401 ? NOT_ACCEPTED : error.message);
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
