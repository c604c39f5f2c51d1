/** Dialogs over the page, and the forms in them: ask for what is needed, do it, and say what went wrong. */

import { button, h, setText } from "./dom.js";

/** Show `children` under a title until it is closed, as by Escape, or the signal; gives the <dialog>. */
export function openDialog(title, children, signal) {
  const dialog = h("dialog.dialog", { "aria-labelledby": "dialog-title" }, h("h2", { id: "dialog-title" }, title), children);
  dialog.addEventListener("close", () => dialog.remove());
  signal.addEventListener("abort", () => dialog.remove(), { once: true });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask, and do. Gives what `submit(FormData)` gave, or null where nothing was done; what it throws is shown. */
export function askFor({ title, lead, fields = [], action, danger = false, submit }, signal) {
  const problem = h("p.problem", { role: "alert" });
  const act = h("button", { class: danger ? "quiet danger" : "main" }, action);
  const cancel = button("Cancel", () => dialog.close());
  const form = h("form", lead.map((text) => h("p", { class: danger ? "" : "muted" }, text)), fields, problem,
    h("div.actions", cancel, act));
  const dialog = openDialog(title, form, signal);
  return new Promise((resolve) => {
    let result = null;
    dialog.addEventListener("close", () => resolve(result));
    signal.addEventListener("abort", () => resolve(null), { once: true });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      act.disabled = true;
      setText(problem, "");
      try {
        result = (await submit(new FormData(form))) ?? true;
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

export function field(label, control, hint = "") {
  const named = h("label.field", h("span", label), control);
  if (!hint) return named;
  const id = `hint-${++hints}`;
  control.setAttribute("aria-describedby", id);
  return h("div.field", named, h("span", { id, class: "muted small" }, hint));
}

/** What an error says, with what was wrong where. */
export function saidBy(error) {
  const places = (error.errors ?? []).map(({ loc, message }) => `${loc.slice(-2).join(" ")}: ${message}`);
  return [error.message, ...places].join("\n");
}
