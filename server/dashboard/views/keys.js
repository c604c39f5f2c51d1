/** The keys: who may do what, made and revoked here. */

import { confirmed } from "../dialog.js";
import { announce, arrange, h, part, setText, shape } from "../dom.js";
import { formatDuration, formatUtc } from "../format.js";
import { reasonFor } from "../signin.js";
import { makeKey } from "./newkey.js";

export const title = "Keys";

const RELOAD_MS = 10_000;
const COLUMNS = ["Name", "May", "Devices", "Made", "Last used", "Ends", ""];
const USES = { ingest: "sends readings", read: "reads", admin: "administers" };

/** Draw them, and keep them up to date. */
export async function mount(root, desk) {
  const { api, clock, signal } = desk;
  const add = h("button", { type: "button", class: "main" }, "New key");
  const notice = h("p", { class: "notice", role: "status", hidden: true });
  const good = makeList("Keys that work", "No key works. Make one with “sluice key create”.");
  const over = makeList("Revoked and expired", "None yet.");
  const head = h("header", { class: "view-head" }, h("h1", {}, title), h("div", { class: "actions" }, add));
  root.append(head, notice, good.root, over.root);

  const rows = new Map();
  const draw = (keys) => {
    const ended = (key) => Boolean(key.revoked_at) || Boolean(key.expires_at && Date.parse(key.expires_at) <= clock.now());
    const newest = [...keys].sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
    for (const [list, of] of [[good, newest.filter((key) => !ended(key))], [over, newest.filter(ended)]]) {
      for (const key of of) {
        if (!rows.has(key.id)) rows.set(key.id, makeRow());
        drawRow(rows.get(key.id), key, ended(key), desk);
      }
      list.fill(of.map(({ id }) => rows.get(id)));
    }
  };
  let loadedAt = -Infinity;
  const load = async () => {
    loadedAt = performance.now();
    draw((await api.get("/v1/keys")).items);
    notice.hidden = true;
  };
  const tell = (error) => {
    if (error.name === "AbortError") return;
    setText(notice, reasonFor(error));
    notice.hidden = false;
  };
  const reload = () => load().catch(tell);
  const revoke = async (key) => {
    try {
      if (!(await confirmed(warningOf(key, desk), signal))) return;
      await api.delete(`/v1/keys/${encodeURIComponent(key.id)}`);
      announce(`The key ${key.name} is revoked.`);
      await load();
    } catch (error) {
      tell(error);
    }
  };
  add.addEventListener("click", async () => (await makeKey(desk)) && reload(), { signal });
  root.addEventListener("click", ({ target }) => {
    const key = target.closest("[data-part=revoke]") && target.closest("tr").key;
    if (key) revoke(key);
  }, { signal });
  await load();
  clock.tick(() => performance.now() - loadedAt > RELOAD_MS && reload(), signal);
}

function makeList(name, empty) {
  const body = h("tbody");
  const head = COLUMNS.map((column) => h("th", { scope: "col" }, column || h("span", { class: "unseen" }, "Revoke")));
  const table = h("table", { class: "keys" }, h("thead", {}, h("tr", {}, head)), body);
  const nothing = h("p", { class: "muted", hidden: true }, empty);
  const count = h("span", { class: "count" });
  const root = h("section", { class: "panel", "aria-label": name }, h("h2", {}, `${name} `, count), table, nothing);
  const fill = (rows) => {
    arrange(body, rows);
    setText(count, String(rows.length));
    table.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
  };
  return { root, fill };
}

function makeRow() {
  const cell = (name, label) => h("td", { "data-part": name, "data-label": label });
  const name = h("th", { scope: "row" }, h("span", { "data-part": "name" }), h("code", { class: "muted", "data-part": "id" }));
  const button = h("button", { type: "button", class: "quiet danger", "data-part": "revoke" }, "Revoke");
  return h("tr", {}, name, cell("scopes", "May"), cell("devices", "Devices"), cell("made", "Made"), cell("used", "Last used"),
    h("td", { "data-label": "Ends" }, h("span", { "data-part": "ends" })), h("td", {}, button));
}

function drawRow(row, key, ended, { clock, session }) {
  row.key = key;
  row.dataset.key = key.id;
  setText(part(row, "name"), key.id === session.key.id ? `${key.name} (yours)` : key.name);
  setText(part(row, "id"), key.id);
  setText(part(row, "scopes"), key.scopes.join(", "));
  setText(part(row, "devices"), key.device_glob ?? "all");
  showAgo(part(row, "made"), key.created_at, clock.now(), "");
  showAgo(part(row, "used"), key.last_used_at, clock.now(), "never");
  part(row, "revoke").hidden = ended;
  part(row, "revoke").setAttribute("aria-label", `Revoke ${key.name}`);
  showEnd(part(row, "ends"), key, clock.now());
}

function showAgo(cell, iso, now, otherwise) {
  setText(cell, iso ? `${formatDuration(now - Date.parse(iso))} ago` : otherwise);
  cell.title = iso ? formatUtc(iso) : "";
}

function showEnd(cell, { revoked_at: revoked, expires_at: expires }, now) {
  const end = revoked ?? expires;
  const left = end ? Date.parse(end) - now : Infinity;
  const over = revoked ? "revoked" : "expired";
  const ended = revoked || left <= 0;
  const text = ended ? `${over} ${formatDuration(-left)} ago` : end ? `in ${formatDuration(left)}` : "never";
  cell.title = end ? formatUtc(end) : "";
  if (cell.textContent !== text) cell.replaceChildren(...(ended ? [shape("refused"), " "] : []), text);
}

function warningOf(key, { clock, session }) {
  const used = key.last_used_at
    ? `It was last used ${formatDuration(clock.now() - Date.parse(key.last_used_at))} ago.`
    : "It was never used.";
  const uses = key.scopes.map((scope) => USES[scope]).join(" or ");
  const devices = key.device_glob ? `, for ${key.device_glob},` : "";
  const own = key.id === session.key.id ? ["It is the key that you are signed in with: you will be signed out."] : [];
  const text = [
    `Whatever ${uses} with it${devices} is refused with 401 within 10 seconds. Its sessions and connections end too.`,
    `${used} A revoked key cannot be brought back.`,
    ...own,
  ];
  return { title: `Revoke “${key.name}”?`, text, action: "Revoke" };
}
