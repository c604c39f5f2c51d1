/** Making a key: the form, and the one moment at which the key is shown. */

import { button, copyButton, h, select, setText } from "../dom.js";
import { askFor, field, openDialog } from "../form.js";

const DAY_MS = 86_400_000;
const SCOPES = {
  ingest: "send readings",
  read: "read what is stored, and use this page",
  admin: "all of that, and change rules, silences and keys",
};
const ENDS = [["", "Never"], [30, "In 30 days"], [90, "In 90 days"], [365, "In a year"]]; // days

/** Ask what the key shall be, make it, and show it once. Gives whether one was made. */
export async function makeKey({ api, clock, signal }) {
  const text = { maxlength: 128, autocomplete: "off" };
  const ticks = Object.entries(SCOPES).map(([scope, meaning]) => h("label.tick",
    h("input", { type: "checkbox", name: "scope", value: scope, checked: scope === "ingest" }),
    h("span", h("b", scope), ` – ${meaning}`)));
  const made = await askFor({
    title: "New key",
    lead: ["Whoever has it may do what you choose here, until it ends or is revoked."],
    fields: [
      field("Name", h("input", { ...text, name: "name", required: true, placeholder: "line 3 gateway" })),
      h("fieldset.field", h("legend", "It may"), ticks),
      field("Devices", h("input", { ...text, name: "devices", placeholder: "all devices" }),
        "A name, or a pattern such as pump-*; empty for all."),
      field("It expires", select({ name: "days" }, ENDS)),
    ],
    action: "Make key",
    submit: (values) => {
      const scopes = values.getAll("scope");
      if (!scopes.length) throw new Error("Choose at least one thing that it may do.");
      const days = Number(values.get("days"));
      return api.post("/v1/keys", {
        name: values.get("name").trim(),
        scopes,
        device_glob: values.get("devices").trim() || null,
        expires_at: days ? new Date(clock.now() + days * DAY_MS) : null,
      });
    },
  }, signal);
  if (made) showOnce(made, signal);
  return made !== null;
}

/** Show the key itself. It is nowhere else, so it goes only when they say that they have it. */
function showOnce({ key, name }, signal) {
  const code = h("code", { "data-part": "secret" }, key);
  const unsaved = h("p.problem", { role: "alert" });
  const dialog = openDialog(`The key “${name}”`, [
    h("p", "Copy it now. It is shown this once; only a hash of it is kept."),
    h("pre.command.secret", { tabindex: "0" }, code),
    unsaved,
    h("div.actions", copyButton(key, code), button("I have stored it", done, { class: "main" })),
  ], signal);
  const stay = (event) => event.preventDefault();
  function done() {
    removeEventListener("beforeunload", stay);
    dialog.close();
  }
  addEventListener("beforeunload", stay, { signal });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault(); // a browser closes it at a second Escape, whatever is said
    setText(unsaved, "Once this is closed, nobody can show the key again. Say below that you have stored it.");
  });
}
