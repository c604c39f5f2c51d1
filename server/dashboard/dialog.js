/** A modal form: asks for what is needed, does it, and says what went wrong. Escape and Cancel close it. */

import { h, setText } from "./dom.js";

/**
 * Ask, and do. Gives what `submit` gave, or null where nothing was done.
 * @param {{title: string, lead?: string, fields?: Node[], action: string, danger?: boolean, submit: Function}} wanted
 *   `submit(values)` gets a FormData; while it is under way nothing else can be pressed, and what it throws is shown
 * @param {AbortSignal} signal closes it, too
 */
export function openDialog({ title, lead, fields = [], action, danger = false, submit }, signal) {
  const problem = h("p", { class: "problem", role: "alert" });
  const act = h("button", { class: danger ? "quiet danger" : "main" }, action);
  const cancel = h("button", { type: "button", class: "quiet" }, "Cancel");
  const form = h("form", { method: "dialog" },
    h("h2", { id: "dialog-title" }, title),
    lead && h("p", { class: "muted" }, lead),
    fields, problem,
    h("div", { class: "actions" }, cancel, act));
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    const ends = new AbortController();
    const close = (result) => {
      ends.abort();
      dialog.close();
      dialog.remove();
      resolve(result);
    };
    const wire = (node, event, callback) => node.addEventListener(event, callback, { signal: ends.signal });
    wire(signal, "abort", () => close(null));
    wire(cancel, "click", () => close(null));
    wire(dialog, "cancel", (event) => {
      event.preventDefault();
      close(null);
    });
    wire(form, "submit", async (event) => {
      event.preventDefault();
      act.disabled = true;
      setText(problem, "");
      try {
        close(await submit(new FormData(form)));
      } catch (error) {
        if (signal.aborted) return;
        setText(problem, saidBy(error));
        act.disabled = false;
      }
    });
    dialog.showModal();
  });
}

/** A labelled control, with a word on what goes in. */
export function field(label, control, hint = "") {
  return h("label", { class: "field" }, h("span", {}, label), control, hint && h("span", { class: "muted small" }, hint));
}

/** What an error says, with what was wrong where. */
export function saidBy(error) {
  const places = (error.errors ?? []).map(({ loc, message }) => `${loc.slice(-2).join(" ")}: ${message}`);
  return [error.message, ...places].join("\n");
}
