/** The keys: who may do what, made and revoked here. */

import { announce, button, h, keyed, panel, setText, shape, table } from "../dom.js";
import { askFor } from "../form.js";
import { formatDuration, formatUtc } from "../format.js";
import { reasonFor } from "../signin.js";
import { makeKey } from "./newkey.js";

export const title = "Keys";

const RELOAD_MS = 10_000;
const COLUMNS = ["Name", "May", "Devices", "Made", "Last used", "Ends", ""];
const USES = { ingest: "sends readings", read: "reads", admin: "administers" };

export async function mount(root, desk) {
  const { api, clock, signal } = desk;
  const notice = h("p.notice", { role: "status", hidden: true });
  const add = button("New key", async () => (await makeKey(desk)) && reload(), { class: "main" });
  root.append(h("header.view-head", h("h1", title), h("div.actions", add)), notice);
  const revoke = async (key) => {
    const done = await askFor({ ...warningOf(key, desk), submit: () => api.delete(`/v1/keys/${encodeURIComponent(key.id)}`) }, signal);
    if (!done) return;
    announce(`The key ${key.name} is revoked.`);
    reload();
  };
  const lists = [["Keys that work", "No key works. Make one with “sluice key create”."], ["Revoked and expired", "None yet."]]
    .map(([name, empty]) => makeList(root, name, empty, () => makeRow(desk, revoke)));
  let loadedAt;
  async function load() {
    loadedAt = performance.now();
    const { items } = await api.get("/v1/keys");
    const ended = (key) => Boolean(key.revoked_at) || Boolean(key.expires_at && Date.parse(key.expires_at) <= clock.now());
    items.sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at));
    lists.forEach((draw, over) => draw(items.filter((key) => ended(key) === Boolean(over))));
    notice.hidden = true;
  }
  async function reload() {
    try {
      await load();
    } catch (error) {
      if (error.name === "AbortError") return;
      setText(notice, reasonFor(error));
      notice.hidden = false;
    }
  }
  await load();
  clock.tick(() => performance.now() - loadedAt > RELOAD_MS && reload(), signal);
}

function makeList(root, name, empty, make) {
  const [body, count, nothing] = [h("tbody"), h("span.count"), h("p.muted", empty)];
  const rows = table(COLUMNS, body, "Revoke");
  rows.className = "keys";
  const drawRows = keyed(body, make);
  root.append(panel(name, count, rows, nothing));
  return (keys) => {
    drawRows(keys);
    setText(count, String(keys.length));
    rows.hidden = keys.length === 0;
    nothing.hidden = keys.length > 0;
  };
}

function makeRow({ clock, session }, revoke) {
  let shown;
  const cells = COLUMNS.slice(1, -1).map((label) => h("td", { "data-label": label }));
  const [may, devices, made, used, ends] = cells;
  const [name, id, end] = [h("span"), h("code.muted"), button("Revoke", () => revoke(shown), { class: "quiet danger" })];
  const row = h("tr", h("th", { scope: "row" }, name, id), cells, h("td", end));
  const show = (cell, text, iso, ...before) => {
    if (cell.textContent.trim() !== text) cell.replaceChildren(...before, h("span", { title: iso ? formatUtc(iso) : "" }, text));
  };
  const ago = (iso) => `${formatDuration(clock.now() - Date.parse(iso))} ago`;
  const draw = (key) => {
    shown = key;
    row.dataset.key = key.id;
    setText(name, key.id === session.key.id ? `${key.name} (yours)` : key.name);
    setText(id, key.id);
    setText(may, key.scopes.join(", "));
    setText(devices, key.device_glob ?? "all");
    show(made, ago(key.created_at), key.created_at);
    show(used, key.last_used_at ? ago(key.last_used_at) : "never", key.last_used_at);
    const last = key.revoked_at ?? key.expires_at;
    const left = last ? Date.parse(last) - clock.now() : Infinity;
    const over = Boolean(key.revoked_at) || left <= 0;
    if (over) show(ends, `${key.revoked_at ? "revoked" : "expired"} ${ago(last)}`, last, shape("refused"), " ");
    else show(ends, last ? `in ${formatDuration(left)}` : "never", last);
    end.hidden = over;
    end.ariaLabel = `Revoke ${key.name}`;
  };
  return { row, draw };
}

function warningOf(key, { clock, session }) {
  const { name, scopes, device_glob: devices, last_used_at: used } = key;
  const lead = [
    `Whatever ${scopes.map((scope) => USES[scope]).join(" or ")} with it${devices ? `, for ${devices},` : ""} is refused with 401 `
      + "within 10 seconds. Its sessions and connections end too.",
    `${used ? `It was last used ${formatDuration(clock.now() - Date.parse(used))} ago.` : "It was never used."} `
      + "A revoked key cannot be brought back.",
  ];
  if (key.id === session.key.id) lead.push("It is the key that you are signed in with: you will be signed out.");
  return { title: `Revoke “${name}”?`, lead, action: "Revoke", danger: true };
}
