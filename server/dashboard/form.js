/** A modal form: asks for what is needed, does it, and says what went wrong. */

import { openDialog } from "./dialog.js";
import { h, setText } from "./dom.js";

/**
 * Ask, and do. Gives what `submit` gave, or null where nothing was done.
 * @param {{title: string, lead: string, fields?: Node[], action: string, submit: Function}} wanted `submit(values)` gets
 *   a FormData; while it is under way the button cannot be pressed, and what it throws is shown
 * @param {AbortSignal} signal closes it, too
 */
export function askFor({ title, lead, fields = [], action, submit }, signal) {
  const problem = h("p", { class: "problem", role: "alert" });
  const act = h("button", { class: "main" }, action);
  const cancel = h("button", { type: "button", class: "quiet" }, "Cancel");
  const form = h("form", {}, h("p", { class: "muted" }, lead), fields, problem, h("div", { class: "actions" }, cancel, act));
  const dialog = openDialog(title, form, signal);
  return new Promise((resolve) => {
    let result = null;
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => resolve(result));
    signal.addEventListener("abort", () => resolve(null), { once: true });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      act.disabled = true;
      setText(problem, "");
      try {
        result = await submit(new FormData(form));
        dialog.close();
      } catch (error) {
        if (error.name === "AbortError") return;
        setText(problem, saidBy(error));
        act.disabled = false;
      }
    });
  });
}

let hints = 0;

/** A labelled control, with a word on what goes in. */
export function field(label, control, hint = "") {
  const named = h("label", { class: "field" }, h("span", {}, label), control);
  if (!hint) return named;
  const id = `hint-${++hints}`;
  control.setAttribute("aria-describedby", id);
  return h("div", { class: "field" }, named, h("span", { id, class: "muted small" }, hint));
}

/** What an error says, with what was wrong where. */
export function saidBy(error) {
  const places = (error.errors ?? []).map(({ loc, message }) => `${loc.slice(-2).join(" ")}: ${message}`);
  return [error.message, ...places].join("\n");
}
