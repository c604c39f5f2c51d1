/** The rules: what they watch, and how many of their alerts are firing. */

import { h, keyed, panel, setText, shape } from "../dom.js";
import { worstOf, wordsOf } from "./rulewords.js";

export const title = "Rules";

const MOST_SHOWN = 200; // more than anybody reads; the search finds the others

export async function mount(root, { api, alerts, session, query, navigate, signal }) {
  const search = h("input", { type: "search", "aria-label": "Find a rule", placeholder: "Name, device, metric", value: query.get("q") ?? "" });
  const [list, count, rest] = [h("ul"), h("span.count", "0"), h("p.muted.small", { role: "status" })];
  const admin = session.has("admin");
  const empty = h("div.empty", { hidden: true }, h("p", h("b", "There is no rule yet.")),
    h("p.muted", admin
      ? "A rule says when a value is worth an alert. It can be tried on what is stored before it wakes anybody."
      : "Somebody whose key has the scope “admin” can make one."));
  root.append(h("div.view-head", h("h1", title),
    h("div.filters", search, admin && h("a.button.main", { href: "#/rules/new" }, "New rule"))),
  panel(title, count, list, empty, rest));

  const { items } = await api.get("/v1/rules");
  if (signal.aborted) return;
  const drawList = keyed(list, (rule) => makeRow(rule, alerts));
  const draw = () => {
    const words = search.value.trim().toLowerCase();
    const found = items.filter(({ name, device, metric }) => `${name}\n${device}\n${metric}`.toLowerCase().includes(words));
    drawList(found.slice(0, MOST_SHOWN));
    setText(count, found.length === items.length ? String(items.length) : `${found.length} of ${items.length}`);
    const more = found.length - MOST_SHOWN;
    setText(rest, more > 0 ? `${more} more: write more of the name.` : found.length || !items.length ? "" : "No rule matches.");
    empty.hidden = items.length > 0;
  };
  search.addEventListener("input", () => {
    navigate(`/rules${search.value ? `?${new URLSearchParams({ q: search.value })}` : ""}`, { replace: true, stay: true });
    draw();
  });
  alerts.watch(draw, signal);
}

function makeRow({ id, name, condition, enabled, device, metric }, alerts) {
  const worst = worstOf(condition);
  const tag = h("a.tag", { href: `#/alerts?rule=${id}` });
  const row = h("li.rule", { "data-severity": worst },
    h("span.tone", shape(worst)),
    h("div",
      h("a", { href: `#/rules/${id}` }, h("b", name)), !enabled && h("span.muted.small", " · off"),
      h("p.small", wordsOf(condition)),
      h("p.muted.small", `${metric} of ${device === "*" ? "every device" : device}`)),
    tag);
  const draw = () => {
    const firing = [...alerts.firing.values()].filter(({ rule }) => rule.id === id).length;
    tag.hidden = firing === 0;
    setText(tag, `${firing} firing`);
  };
  return { row, draw };
}
