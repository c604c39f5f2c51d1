/** The silences: what pages nobody, until when, and by whom. */

import { announce, button, h, panel, setText } from "../dom.js";
import { askFor, field } from "../form.js";
import { formatDuration, showMoment } from "../format.js";
import { askSilence } from "./alertactions.js";

export const title = "Silences";

const PAGE = 100;
const AGAIN_MS = 2_000; // the server may see it in force still

export async function mount(root, desk) {
  const { api, clock, session, signal } = desk;
  const begin = button("New silence", async () => (await ask(desk)) && load(), { class: "main" });
  const lists = h("div.view");
  root.append(h("div.view-head", h("h1", title), h("div.actions", session.has("admin") && begin)),
    h("p.muted", "A silence holds webhooks: alerts still fire, are shown and recorded, but page nobody."), lists);

  let ending = Infinity; // the first of those in force to end
  async function load() {
    const [active, ended] = await Promise.all(["active", "ended"].map((state) => api.get("/v1/silences", { state, limit: PAGE })));
    const list = (name, { items }, empty) => panel(name, h("span.count", String(items.length)),
      items.length ? h("ul", items.map((silence) => drawRow(silence, name !== "Over", desk, load))) : h("p.empty.muted", empty));
    lists.replaceChildren(list("In force", active, "Nothing is silenced. Every alert that has a webhook pages."),
      ended.items.length ? list("Over", ended, "") : "");
    ending = Math.max(clock.now() + AGAIN_MS, Math.min(...active.items.map(({ until }) => Date.parse(until))));
    tick();
  }
  function tick() {
    const now = clock.now();
    for (const left of lists.querySelectorAll("[data-until]")) setText(left, ` · ${formatDuration(left.dataset.until - now)} left`);
    if (now < ending) return;
    ending = now + AGAIN_MS;
    load();
  }
  clock.tick(tick, signal);
  await load();
}

function drawRow(silence, inForce, { api, session, signal }, reload) {
  const until = h("time");
  showMoment(until, silence.until);
  const end = button("End now", async () => {
    const done = await askFor({
      title: "End the silence now?",
      lead: ["What fires and was held pages from now on."],
      action: "End it",
      submit: () => api.delete(`/v1/silences/${silence.id}`),
    }, signal);
    if (!done) return;
    announce("Ended.");
    await reload();
  });
  const { device, metric, rule, comment, created_by: by } = silence;
  const covered = [
    (rule ?? null) !== null && `rule ${rule}`,
    metric !== "*" && `metric ${metric}`,
    device === "*" ? "all devices" : `device ${device}`,
  ].filter(Boolean).join(" · ");
  return h("li.silence", { "data-silence": silence.id },
    h("div", h("b", covered), comment && h("p", comment),
      h("p.muted.small", inForce ? "until " : "ended ", until,
        inForce && h("span", { "data-until": Date.parse(silence.until) }), by && ` · by ${by}`)),
    inForce && session.has("admin") && h("div.actions", end));
}

function ask(desk) {
  const glob = (name, label, hint) => field(label, h("input", { name, value: "*", required: true, maxlength: 128, autocomplete: "off" }), hint);
  const fields = [
    glob("device", "Device", "A name, or a pattern such as pump-*; * is all of them."),
    glob("metric", "Metric", "temperature, or a pattern."),
  ];
  return askSilence(desk, "New silence", "For maintenance, or for what is known already.", fields,
    (values) => ({ device: values.get("device"), metric: values.get("metric") }));
}
