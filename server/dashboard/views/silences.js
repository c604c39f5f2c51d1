/** The silences: what pages nobody, until when, and by whom. */

import { announce, h } from "../dom.js";
import { askFor, field } from "../form.js";
import { formatDuration, showMoment } from "../format.js";
import { commentField, lastingField } from "./alertactions.js";

export const title = "Silences";

const PAGE = 100;

/** Draw them; begin and end them. */
export async function mount(root, desk) {
  const { api, clock, session, signal } = desk;
  const begin = h("button", { type: "button", class: "main" }, "New silence");
  const lists = h("div", { class: "view" });
  root.append(
    h("div", { class: "view-head" }, h("h1", {}, title), h("div", { class: "actions" }, session.has("admin") && begin)),
    h("p", { class: "muted" }, "A silence holds webhooks: alerts still fire, are shown and recorded, but page nobody."),
    lists);

  const load = async () => {
    const [active, ended] = await Promise.all(["active", "ended"].map((state) => api.get("/v1/silences", { state, limit: PAGE })));
    const rows = (silences, inForce) => silences.items.map((silence) => drawRow(silence, inForce, desk, load));
    lists.replaceChildren(
      section("In force", rows(active, true), "Nothing is silenced. Every alert that has a webhook pages."),
      ...(ended.items.length ? [section("Over", rows(ended, false), "")] : []));
    tick();
  };
  begin.addEventListener("click", async () => {
    if (await ask(desk)) await load();
  }, { signal });
  const tick = () => {
    for (const left of lists.querySelectorAll("[data-until]")) {
      left.textContent = `${formatDuration(Number(left.dataset.until) - clock.now())} left`;
      if (Number(left.dataset.until) < clock.now() && !lists.ariaBusy) {
        lists.ariaBusy = "true";
        load().finally(() => (lists.ariaBusy = null));
      }
    }
  };
  clock.tick(tick, signal);
  await load();
}

function section(name, rows, empty) {
  return h("section", { class: "panel" }, h("h2", {}, `${name} `, h("span", { class: "count" }, String(rows.length))),
    rows.length ? h("ul", { class: "alert-list silences" }, rows) : h("p", { class: "empty muted" }, empty));
}

function drawRow(silence, inForce, desk, reload) {
  const until = h("time", {});
  showMoment(until, silence.until);
  const left = h("span", inForce ? { "data-until": Date.parse(silence.until) } : {});
  const end = h("button", { type: "button", class: "quiet" }, "End now");
  end.addEventListener("click", async () => {
    const done = await askFor({
      title: "End the silence now?",
      lead: "What fires and was held pages from now on.",
      action: "End it",
      submit: () => desk.api.delete(`/v1/silences/${silence.id}`).then(() => true),
    }, desk.signal);
    if (!done) return;
    announce("Ended.");
    await reload();
  }, { signal: desk.signal });
  return h("li", { class: "silence", "data-silence": silence.id },
    h("div", {}, h("b", {}, covered(silence)), silence.comment && h("p", {}, silence.comment),
      h("p", { class: "muted small" }, inForce ? "until " : "ended ", until, inForce && " · ", left,
        silence.created_by && ` · by ${silence.created_by}`)),
    inForce && desk.session.has("admin") && h("div", { class: "actions" }, end));
}

/** What a silence is about, in words. */
function covered({ device, metric, rule }) {
  const words = [
    rule === null || rule === undefined ? "" : `rule ${rule}`,
    metric === "*" ? "" : `metric ${metric}`,
    device === "*" ? "all devices" : `device ${device}`,
  ];
  return words.filter(Boolean).join(" · ");
}

function ask({ api, clock, signal }) {
  const glob = (name, hint) => h("input", { name, value: "*", required: true, maxlength: 128, autocomplete: "off", title: hint });
  return askFor({
    title: "New silence",
    lead: "For maintenance, or for what is known already.",
    fields: [
      field("Device", glob("device", "a name"), "A name, or a pattern such as pump-*; * is all of them."),
      field("Metric", glob("metric", "a metric"), "temperature, or a pattern."),
      lastingField(),
      commentField("Optional: why."),
    ],
    action: "Silence",
    submit: (values) => api.post("/v1/silences", {
      device: values.get("device"),
      metric: values.get("metric"),
      until: new Date(clock.now() + Number(values.get("lasting"))).toISOString(),
      comment: values.get("comment"),
    }),
  }, signal);
}
