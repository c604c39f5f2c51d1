/** Making a key: the form, and the one moment at which the key is shown. */

import { openDialog } from "../dialog.js";
import { copyButton, h, setText } from "../dom.js";

const DAY_MS = 86_400_000;
const SCOPES = {
  ingest: "send readings",
  read: "read everything, and this page",
  admin: "all of that, and change rules, silences and keys",
};
const ENDS = { "": "Never", 30: "In 30 days", 90: "In 90 days", 365: "In a year" };

/** Ask what the key shall be, make it, show it once; `onMade()` when it is there. */
export function makeKey({ api, clock, signal }, onMade) {
  const name = h("input", { id: "key-name", required: true, maxlength: "128", autocomplete: "off", placeholder: "line 3 gateway" });
  const ticks = Object.entries(SCOPES).map(([scope, meaning]) => {
    const tick = h("input", { type: "checkbox", value: scope, checked: scope === "ingest" });
    return [tick, h("label", { class: "tick" }, tick, h("span", {}, h("b", {}, scope), ` – ${meaning}`))];
  });
  const glob = h("input", { id: "key-glob", maxlength: "128", autocomplete: "off", placeholder: "all devices", "aria-describedby": "key-glob-hint" });
  const ends = h("select", { id: "key-ends" }, Object.entries(ENDS).map(([days, text]) => h("option", { value: days }, text)));
  const problem = h("p", { class: "problem", role: "alert" });
  const cancel = h("button", { type: "button", class: "quiet" }, "Cancel");
  const make = h("button", { type: "submit", class: "main" }, "Make key");
  const form = h("form", { novalidate: true },
    h("p", { class: "field" }, h("label", { for: "key-name" }, "Name"), name),
    h("fieldset", { class: "field" }, h("legend", {}, "It may"), ticks.map(([, label]) => label)),
    h("p", { class: "field" }, h("label", { for: "key-glob" }, "Devices"), glob,
      h("span", { id: "key-glob-hint", class: "muted small" }, "A name, or a pattern such as pump-*; empty for all.")),
    h("p", { class: "field" }, h("label", { for: "key-ends" }, "It expires"), ends),
    problem, h("div", { class: "actions" }, cancel, make));
  const dialog = openDialog("New key", form, signal);
  cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = {
      name: name.value.trim(),
      scopes: ticks.filter(([tick]) => tick.checked).map(([tick]) => tick.value),
      device_glob: glob.value.trim() || null,
      expires_at: ends.value ? new Date(clock.now() + ends.value * DAY_MS).toISOString() : null,
    };
    const missing = faultOf(wanted);
    setText(problem, missing);
    if (missing) return;
    make.disabled = true;
    try {
      const made = await api.post("/v1/keys", wanted);
      dialog.close();
      showOnce(made, signal);
      onMade();
    } catch (error) {
      setText(problem, error.errors?.length ? error.errors.map(spoken).join(" ") : error.message);
    } finally {
      make.disabled = false;
    }
  });
}

function faultOf({ name, scopes }) {
  if (!name) return "Give it a name, so that others know what it is for.";
  return scopes.length ? "" : "Choose at least one thing that it may do.";
}

const spoken = ({ loc, message }) => `${loc.filter((step) => step !== "body").join(" ") || "The key"}: ${message}.`;

/** Show the key itself. It is nowhere else, so it goes only when they say that they have it. */
function showOnce({ key, name }, signal) {
  const code = h("code", { "data-part": "secret" }, key);
  const copy = copyButton(() => key, code, signal);
  copy.autofocus = true;
  const done = h("button", { type: "button", class: "main" }, "I have stored it");
  const unsaved = h("p", { class: "problem", role: "alert" });
  const dialog = openDialog(`The key “${name}”`, [
    h("p", {}, "Copy it now. It is shown this once; only a hash of it is kept."),
    h("pre", { class: "command", tabindex: "0" }, code),
    unsaved,
    h("div", { class: "actions" }, copy, done),
  ], signal);
  const leaving = new AbortController();
  addEventListener("beforeunload", (event) => event.preventDefault(), { signal: leaving.signal });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    setText(unsaved, "Once this is closed, nobody can show the key again. Say below that you have stored it.");
  });
  dialog.addEventListener("close", () => leaving.abort());
  signal.addEventListener("abort", () => leaving.abort(), { once: true });
  done.addEventListener("click", () => dialog.close());
}
