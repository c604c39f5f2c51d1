/** The alerts: what fires, the worst first, and what is over. What is chosen stands in the address. */

import { covers } from "../alerts.js";
import { button, h, panel, select, setText, shape } from "../dom.js";
import { alertList } from "./alertlist.js";

export const title = "Alerts";

const SEVERITIES = ["critical", "warning", "info"];
const PAGE = 50;
const SETTLE_MS = 300; // for whoever is still typing

export async function mount(root, desk) {
  const { alerts, api, query, session, navigate, signal } = desk;
  const chosen = Object.fromEntries(["severity", "device", "rule"].map((name) => [name, query.get(name) ?? ""]));
  const [firing, resolved] = ["firing", "resolved"].map((id) => h("ul", { id, class: "alert-list" }));
  const [drawFiring, drawResolved] = [firing, resolved].map((list) => alertList(list, desk));
  const [count, nothing, mark] = [h("span.count", "0"), h("b"), shape("resolved")];
  const hint = h("p", "An alert appears here the moment it fires.");
  const none = h("div.empty", h("p", mark, nothing), hint);
  const unsure = h("p.empty.muted", { hidden: true }, "Not connected: this is what was last heard.");
  const over = h("p.empty.muted", "What was resolved will be here, the newest first.");
  const older = button("Show older", () => read(cursor), { id: "older", hidden: true });
  root.append(h("div.view-head", h("h1", title), filters(chosen, choose)),
    panel("Firing", count, firing, unsure, none), panel("Resolved", "", resolved, over, older));

  let past = new Map(); // id → alert: what is over, read back page by page
  let cursor = null;
  let asked = 0; // counts the questions, so that an answer to an older one is dropped
  async function read(from) {
    const question = ++asked;
    const { items, next } = await api.get("/v1/alerts", { ...chosen, state: "resolved", limit: PAGE, cursor: from });
    if (question !== asked) return;
    past = new Map([...(from ? past : []), ...items.map((alert) => [alert.id, alert])]);
    cursor = next;
    draw();
  }

  function choose(wanted) {
    Object.assign(chosen, wanted);
    const said = new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
    navigate(`/alerts${said.size ? `?${said}` : ""}`, { replace: true, stay: true });
    draw();
    return read(null);
  }

  function draw() {
    const all = alerts.firingInOrder();
    const shown = all.filter((alert) => matches(alert, chosen));
    const ended = new Map([...past, ...alerts.resolved].filter(([, alert]) => matches(alert, chosen)));
    drawFiring(shown);
    drawResolved([...ended.values()].sort((a, b) => Date.parse(b.resolved_at) - Date.parse(a.resolved_at)));
    setText(count, shown.length === all.length ? `${shown.length}` : `${shown.length} of ${all.length}`);
    setText(nothing, all.length ? "Nothing that you chose is firing." : alerts.sure ? "Nothing is firing." : "Nothing was firing.");
    mark.classList.toggle("ok", alerts.sure);
    unsure.hidden = alerts.sure;
    none.hidden = shown.length > 0;
    over.hidden = ended.size > 0;
    older.hidden = !cursor;
  }

  alerts.watch(draw, signal);
  await read(null);
  if (alerts.firing.size || session.key.device_glob || (await api.get("/v1/rules")).items.length) return;
  hint.replaceChildren("There is no rule yet. ", h("a", { href: "#/rules/new" }, "Make the first one"));
}

function matches(alert, { severity, device, rule }) {
  return (!severity || alert.severity === severity) && (!rule || String(alert.rule.id) === rule) && (!device || covers(device, alert.device));
}

function filters({ severity, device, rule }, choose) {
  let timer;
  const [worst, name] = [
    select({ "aria-label": "Severity" }, [["", "Any severity"], ...SEVERITIES], severity),
    h("input", { type: "search", "aria-label": "Device", value: device, placeholder: "Device, such as pump-*", autocomplete: "off" }),
  ];
  const take = () => {
    clearTimeout(timer);
    timer = setTimeout(() => choose({ severity: worst.value, device: name.value.trim() }), SETTLE_MS);
  };
  const all = button("Show all rules", () => {
    all.parentElement.hidden = true;
    choose({ rule: "" });
  });
  return h("div.filters", { role: "search", oninput: take }, worst, name,
    h("span.small", { hidden: !rule }, `Rule ${rule} `, all));
}
