/** The rules: what they watch, and how many of their alerts are firing. */

import { arrange, h, part, setAttribute, setText, shape } from "../dom.js";
import { worstOf, wordsOf } from "./rulewords.js";

export const title = "Rules";

const MOST_SHOWN = 200; // more than anybody reads; the search finds the others

/** Draw them, and keep the count of what fires up to date. */
export async function mount(root, { api, alerts, session, query, navigate, signal }) {
  const search = h("input", { type: "search", "aria-label": "Find a rule", placeholder: "Name, device, metric", value: query.get("q") ?? "" });
  const add = h("a", { class: "button main", href: "#/rules/new" }, "New rule");
  const list = h("ul", { class: "rule-list" });
  const count = h("span", { class: "count" }, "0");
  const rest = h("p", { class: "muted small", role: "status" });
  const empty = h("div", { class: "empty", hidden: true },
    h("p", {}, h("b", {}, "There is no rule yet.")),
    h("p", { class: "muted" }, session.has("admin")
      ? "A rule says when a value is worth an alert. It can be tried on what is stored before it wakes anybody."
      : "Somebody whose key has the scope “admin” can make one."));
  root.append(
    h("div", { class: "view-head" }, h("h1", {}, title), h("div", { class: "filters" }, search, session.has("admin") && add)),
    h("section", { class: "panel" }, h("h2", {}, "Rules ", count), list, empty, rest));

  const { items } = await api.get("/v1/rules");
  if (signal.aborted) return;
  const rows = new Map(items.map((rule) => [rule.id, makeRow(rule)]));
  const draw = () => {
    const words = search.value.trim().toLowerCase();
    const found = items.filter((rule) => `${rule.name}\n${rule.device}\n${rule.metric}`.toLowerCase().includes(words));
    const firing = countByRule(alerts.firing.values());
    const shown = found.slice(0, MOST_SHOWN);
    arrange(list, shown.map(({ id }) => rows.get(id)));
    for (const { id } of shown) showFiring(rows.get(id), firing.get(id) ?? 0);
    setText(count, found.length === items.length ? String(items.length) : `${found.length} of ${items.length}`);
    setText(rest, found.length > MOST_SHOWN ? `${found.length - MOST_SHOWN} more: write more of the name.` : found.length || !items.length ? "" : "No rule matches.");
    empty.hidden = items.length > 0;
  };
  search.addEventListener("input", () => {
    const said = new URLSearchParams(search.value ? { q: search.value } : {});
    navigate(`/rules${said.size ? `?${said}` : ""}`, { replace: true, stay: true });
    draw();
  }, { signal });
  alerts.watch(draw, signal);
}

function countByRule(alerts) {
  const counts = new Map();
  for (const { rule } of alerts) counts.set(rule.id, (counts.get(rule.id) ?? 0) + 1);
  return counts;
}

function makeRow(rule) {
  const worst = worstOf(rule.condition);
  return h("li", { class: "rule", "data-rule": rule.id, "data-severity": worst },
    h("span", { class: "tone" }, shape(worst)),
    h("div", {},
      h("a", { href: `#/rules/${rule.id}` }, h("b", {}, rule.name)),
      !rule.enabled && h("span", { class: "muted small" }, " · off"),
      h("p", { class: "small" }, wordsOf(rule.condition)),
      h("p", { class: "muted small" }, `${rule.metric} of ${rule.device === "*" ? "every device" : rule.device}`)),
    h("a", { class: "tag", "data-part": "firing", href: `#/alerts?rule=${rule.id}`, hidden: true }));
}

function showFiring(row, count) {
  const tag = part(row, "firing");
  tag.hidden = count === 0;
  setText(tag, `${count} firing`);
  setAttribute(tag, "aria-label", `${count} firing: the alerts of this rule`);
}
