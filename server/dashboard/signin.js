/** The form that takes a key, and what it says when a key does not do. */

import { byId, setText } from "./dom.js";

const REASONS = {
  0: "The server does not answer.",
  503: "Sluice is running, but its database does not answer.",
};

/** What was wrong with a key, and what to do about it, by the status of the answer. */
const ADVICE = {
  0: () => `${REASONS[0]} Is it still running? Try again in a moment.`,
  401: () => "This key is not accepted: it is wrong, expired or revoked. Copy the whole line from the file below, "
    + "or make a new key with “sluice key create”.",
  403: ({ message }) => message || "This key is valid but may not read. Use one with the scope read or admin.",
  429: ({ retryAfterMs }) => `Too many keys were tried from here. Try again in ${(retryAfterMs || 60_000) / 1_000} s.`,
  503: () => `${REASONS[503]} Try again in a moment.`,
};

export const reasonFor = (error) => REASONS[error.status] ?? error.message;

/** Ask for a key whenever the form is shown. `onKey(key)` may throw an ApiError, which is then explained. */
export function askForKey(onKey) {
  const view = byId("sign-in");
  const button = view.querySelector("button");
  view.addEventListener("submit", async (event) => {
    event.preventDefault();
    const key = byId("key").value.trim();
    if (!/^slk_[!-~]+$/.test(key)) return showProblem(key ? "That is not a key of Sluice: they begin with “slk_”." : "Paste a key first.");
    button.disabled = true;
    try {
      await onKey(key);
    } catch (error) {
      showProblem(ADVICE[error.status]?.(error) ?? error.message);
    } finally {
      button.disabled = false;
    }
  });
}

export function showSignIn(problem) {
  byId("sign-in").hidden = false;
  showProblem(problem);
  byId("key").focus();
}

export function hideSignIn() {
  byId("key").value = "";
  showProblem("");
  byId("sign-in").hidden = true;
}

function showProblem(problem) {
  setText(byId("key-problem"), problem);
  byId("key").setAttribute("aria-invalid", String(problem !== ""));
  if (problem) byId("key").focus();
}
