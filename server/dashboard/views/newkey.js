/** Making a key: the form, and the one moment at which the key is shown. */

import { askFor, openDialog } from "../form.js";
import { button, copyButton, field, h, select, textField } from "../tree.js";

const DAY_MS = 86_400_000;
const SCOPES = {
	ingest: "send readings",
	read: "read what is stored, and use this page",
	admin: "all of that, and change rules, silences and keys",
};
const ENDS = [["", "Never"], [30, "In 30 days"], [90, "In 90 days"], [365, "In a year"]]; // days

/** Gives whether one was made. */
export async function makeKey({ clock, session, signal }) {
	const ticks = Object.entries(SCOPES).map(([scope, meaning]) =>
		h("label.tick",
			h("input", { type: "checkbox", name: "scope", value: scope, defaultChecked: scope === "ingest" }),
			h("span", h("b", scope), ` – ${meaning}`)));
	const made = await askFor({
		title: "New key",
		lead: ["Whoever has it may do what you choose here, until it ends or is revoked."],
		fields: [
			textField("Name", "name", { required: true, maxlength: 128, placeholder: "line 3 gateway" }),
			h("fieldset.field", h("legend", "It may"), ticks),
			textField("Devices", "devices",
				{ maxlength: 128, placeholder: "all devices", hint: "A name, or a pattern such as pump-*; empty for all." }),
			field("It expires", select({ name: "days" }, ENDS)),
		],
		action: "Make key",
		submit: (values) => {
			const scopes = values.getAll("scope");
			if (!scopes.length) throw new Error("Choose at least one thing that it may do.");
			const days = Number(values.get("days"));
			// By the session's interface: it outlives the view, and a key that was made has to be shown.
			return session.api.post("/v1/keys", {
				name: values.get("name").trim(),
				scopes,
				device_glob: values.get("devices").trim() || null,
				expires_at: days ? new Date(clock.now() + days * DAY_MS) : null,
			});
		},
	}, signal);
	if (made) showOnce(made, session);
	return made !== null;
}

/** Over whatever view: the key is nowhere else, so it goes only when they say that they have it. */
function showOnce({ key, name }, session) {
	let unsaved = "";
	const kept = new AbortController();
	const { signal } = kept;
	const { dialog, draw } = openDialog(`The key “${name}”`, () => [
		h("p", "Copy it now. It is shown this once; only a hash of it is kept."),
		h("pre.command.secret", { tabindex: "0" }, h("code", { "data-part": "secret" }, key)),
		h("p.problem", { role: "alert" }, unsaved),
		h("div.actions", copyButton(key, "dialog"), button("I have stored it", () => kept.abort(), { class: "main" })),
	]);
	signal.addEventListener("abort", () => dialog.remove());
	session.addEventListener("end", () => kept.abort(), { signal });
	addEventListener("beforeunload", (event) => event.preventDefault(), { signal });
	dialog.addEventListener("close", () => dialog.showModal(), { signal }); // a browser insists at a second Escape
	dialog.addEventListener("cancel", (event) => {
		event.preventDefault();
		unsaved = "Once this is closed, nobody can show the key again. Say below that you have stored it.";
		draw();
	}, { signal });
}
