/** The keys: who may do what, made and revoked here. */

import { announce } from "../dom.js";
import { askFor } from "../form.js";
import { formatDuration, formatUtc } from "../format.js";
import { follow } from "../listing.js";
import { button, h, notice, panel, render, shape, table, viewHead } from "../tree.js";
import { makeKey } from "./newkey.js";

export const title = "Keys";

const COLUMNS = ["Name", "May", "Devices", "Made", "Last used", "Ends", ""];
const USES = { ingest: "sends readings", read: "reads", admin: "administers" };

export async function mount(root, desk) {
	const { api, clock, session, signal } = desk;
	const keys = follow(desk, async () => (await api.get("/v1/keys")).items, draw);

	function draw() {
		const all = [...(keys.answer ?? [])].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
		const over = (key) => key.revoked_at || (key.expires_at && Date.parse(key.expires_at) <= clock.now());
		const list = (name, items, empty) => panel(name, items.length,
			items.length ? h("div.keys", table(COLUMNS, items.map(row), "Revoke")) : h("p.muted", empty));
		render([
			viewHead(title, h("div.actions", button("New key", add, { class: "main" }))),
			notice(keys.problem),
			keys.answer && [
				list("Keys that work", all.filter((key) => !over(key)), "No key works. Make one with “sluice key create”."),
				list("Revoked and expired", all.filter(over), "None yet."),
			],
		], root);
	}

	function row(key) {
		const { id, name, scopes, device_glob: devices, created_at: made, last_used_at: used, expires_at: expires, revoked_at: revoked } = key;
		const at = (iso, text) => h("span", { title: formatUtc(iso) }, text);
		const ago = (iso) => `${since(iso, clock)} ago`;
		const last = revoked ?? expires;
		const left = last ? Date.parse(last) - clock.now() : Infinity;
		const over = revoked || left <= 0;
		const cells = [
			scopes.join(", "),
			devices ?? "all",
			at(made, ago(made)),
			used ? at(used, ago(used)) : "never",
			over ? [shape("refused"), " ", at(last, `${revoked ? "revoked" : "expired"} ${ago(last)}`)]
				: last ? at(last, `in ${formatDuration(left)}`) : "never",
		];
		return h("tr", { key: id, "data-key": id },
			h("th", { scope: "row" }, id === session.key.id ? `${name} (yours)` : name, h("code.muted", id)),
			cells.map((cell, place) => h("td", { "data-label": COLUMNS[place + 1] }, h("span", cell))),
			h("td", !over && button("Revoke", () => revoke(key), { class: "quiet danger", "aria-label": `Revoke ${name}` })));
	}

	async function add() {
		if (await makeKey(desk)) keys.load();
	}

	async function revoke(key) {
		const submit = () => api.delete(`/v1/keys/${encodeURIComponent(key.id)}`);
		if (!(await askFor({ ...warningOf(key, desk), submit }, signal))) return;
		announce(`The key ${key.name} is revoked.`);
		keys.load();
	}

	draw();
	await keys.load();
}

const since = (iso, clock) => formatDuration(clock.now() - Date.parse(iso));

function warningOf({ id, name, scopes, device_glob: devices, last_used_at: used }, { clock, session }) {
	const lead = [
		`Whatever ${scopes.map((scope) => USES[scope]).join(" or ")} with it${devices ? `, for ${devices},` : ""} is refused with 401 `
			+ "within 10 seconds. Its sessions and connections end too.",
		`${used ? `It was last used ${since(used, clock)} ago.` : "It was never used."} A revoked key cannot be brought back.`,
	];
	if (id === session.key.id) lead.push("It is the key that you are signed in with: you will be signed out.");
	return { title: `Revoke “${name}”?`, lead, action: "Revoke", danger: true };
}
