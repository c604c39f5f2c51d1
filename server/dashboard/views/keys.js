import { askFor, openDialog } from "../form.js";
import { formatDuration, formatUtc } from "../format.js";
import { follow } from "../listing.js";
import { button, copyButton, h, notice, panel, render, shape, table, textField, viewHead } from "../tree.js";

const COLUMNS = ["Name", "May", "Devices", "Made", "Last used", "Ends", ""];
const SCOPES = {
	ingest: "send readings",
	read: "read what is stored, and use this page",
	admin: "all of that, and change rules, silences and keys",
};

export async function mount(root, desk) {
	const { api, clock, session, signal } = desk;
	const keys = follow(desk, async () => (await api.get("/v1/keys")).items, draw);
	const ago = (iso) => `${formatDuration(clock.now() - Date.parse(iso))} ago`;
	const lasting = ({ expires_at: expires }) => (expires ? Date.parse(expires) - clock.now() : Infinity);
	const over = (key) => key.revoked_at !== null || lasting(key) <= 0;

	function draw() {
		const all = [...(keys.answer ?? [])].sort((a, b) => over(a) - over(b) || b.created_at.localeCompare(a.created_at));
		render([
			viewHead("Keys", h("div.actions", button("New key", add, { class: "main" }))),
			notice(keys.problem),
			keys.answer && panel("Keys", all.length, h("div.keys", table(COLUMNS, all.map(row), "Revoke"))),
		], root);
	}

	function row(key) {
		const { id, name, scopes, device_glob: devices, created_at: made, last_used_at: used, expires_at: expires, revoked_at: revoked } = key;
		const at = (iso, text) => h("span", { title: formatUtc(iso) }, text);
		const last = revoked ?? expires;
		const ends = over(key) ? `${revoked ? "revoked" : "expired"} ${ago(last)}` : `in ${formatDuration(lasting(key))}`;
		const cells = [
			scopes.join(", "),
			devices ?? "all",
			at(made, ago(made)),
			used ? at(used, ago(used)) : "never",
			last ? [over(key) && shape("refused"), " ", at(last, ends)] : "never",
		];
		return h("tr", { key: id, "data-key": id },
			h("th", { scope: "row" }, id === session.key.id ? `${name} (yours)` : name, h("code.muted", id)),
			cells.map((cell, place) => h("td", { "data-label": COLUMNS[place + 1] }, cell)),
			h("td", !over(key) && button("Revoke", () => revoke(key), { class: "quiet danger", "aria-label": `Revoke ${name}` })));
	}

	async function add() {
		await makeKey(desk);
		keys.load();
	}

	async function revoke({ id, name, scopes, device_glob: devices, last_used_at: used }) {
		await askFor({
			title: `Revoke “${name}”?`,
			lead: [
				`Whatever uses it (${scopes.join(", ")}; ${devices ?? "all devices"}) is refused with 401 within 10 seconds. `
					+ "Its sessions and connections end too.",
				`${used ? `It was last used ${ago(used)}.` : "It was never used."} A revoked key cannot be brought back.`,
				id === session.key.id && "It is the key that you are signed in with: you will be signed out.",
			],
			action: "Revoke",
			said: `The key ${name} is revoked.`,
			danger: true,
			submit: () => api.delete(`/v1/keys/${id}`),
		}, signal);
		keys.load();
	}

	draw();
	await keys.load();
}

async function makeKey({ session, signal }) {
	const ticks = Object.entries(SCOPES).map(([scope, meaning]) =>
		h("label.tick",
			h("input", { type: "checkbox", name: "scope", value: scope, defaultChecked: scope === "ingest" }),
			h("span", h("b", scope), ` – ${meaning}`)));
	const made = await askFor({
		title: "New key",
		fields: [
			textField("Name", "name", { required: true, maxlength: 128, placeholder: "line 3 gateway" }),
			h("fieldset.field", h("legend", "It may"), ticks),
			textField("Devices", "devices",
				{ maxlength: 128, placeholder: "all devices", hint: "A name, or a pattern such as pump-*; empty for all." }),
			textField("It expires", "expires", { type: "date", hint: "At the start of this day; empty: never." }),
		],
		action: "Make key",
		said: "The key is made.",
		submit: (values) => {
			const scopes = values.getAll("scope");
			if (!scopes.length) throw new Error("Choose at least one thing that it may do.");
			const expires = values.get("expires");
			// Not by the view's own `api`, which ends with it: a key that was made has to be shown.
			return session.api.post("/v1/keys", {
				name: values.get("name").trim(),
				scopes,
				device_glob: values.get("devices").trim() || null,
				expires_at: expires ? new Date(`${expires}T00:00`) : null,
			});
		},
	}, signal);
	if (made) showOnce(made, session);
}

/** Over whatever view: the key is nowhere else, so it stays until they say that they have it. */
function showOnce({ key, name }, session) {
	const kept = new AbortController();
	const { signal } = kept;
	const { dialog } = openDialog(`The key “${name}”`, () => [
		h("p", "Copy it now. It is shown this once; only a hash of it is kept."),
		h("pre.command.secret", { tabindex: "0" }, h("code", { "data-part": "secret" }, key)),
		h("div.actions", copyButton(key, "dialog"), button("I have stored it", () => kept.abort(), { class: "main" })),
	]);
	signal.addEventListener("abort", () => {
		dialog.close(); // gives the focus back
		dialog.remove();
	});
	session.addEventListener("end", () => kept.abort(), { signal });
	addEventListener("beforeunload", (event) => event.preventDefault(), { signal });
	dialog.addEventListener("close", () => dialog.showModal(), { signal }); // as by Escape
}
