/** Dialogs over the page: modal, closed by Escape, gone with their view, the focus given back by the browser. */

import { h } from "./dom.js";

/** Show `children` under a title until it is closed or the signal; gives the <dialog>. */
export function openDialog(title, children, signal) {
  const heading = h("h2", { id: "dialog-title" }, title);
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": "dialog-title" }, heading, children);
  const end = () => dialog.remove();
  dialog.addEventListener("close", end);
  signal.addEventListener("abort", end, { once: true });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something that cannot be undone: true if they mean it. `text`: what will happen, in paragraphs. */
export function confirmed({ title, text, action }, signal) {
  return new Promise((resolve) => {
    const no = h("button", { type: "button", class: "quiet", autofocus: true }, "Cancel");
    const yes = h("button", { type: "button", class: "quiet danger" }, action);
    const body = [...text.map((line) => h("p", {}, line)), h("div", { class: "actions" }, no, yes)];
    const dialog = openDialog(title, body, signal);
    no.addEventListener("click", () => dialog.close());
    yes.addEventListener("click", () => dialog.close("yes"));
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
    signal.addEventListener("abort", () => resolve(false), { once: true });
  });
}
