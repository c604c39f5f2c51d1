/** What others change too: read again and again. What cannot be read is said. */

import { reasonFor } from "./signin.js";

const AGAIN_MS = 10_000;
const RETRY_MS = 5_000;

/** Gives `{answer, problem, load}`: what `read()` gave last, why it failed since then, and a way to read at once. */
export function follow({ clock, signal }, read, draw, againMs = AGAIN_MS) {
	const followed = { answer: null, problem: "", load };
	let asked = 0; // counts the questions, so that an answer to an older one is dropped
	let due = Infinity;
	clock.tick(() => performance.now() >= due && load(), signal);
	return followed;

	async function load() {
		const question = ++asked;
		due = Infinity;
		try {
			const answer = await read();
			if (question !== asked || signal.aborted) return;
			Object.assign(followed, { answer, problem: "" });
			due = performance.now() + againMs;
		} catch (error) {
			if (error.status === undefined) throw error;
			if (question !== asked || signal.aborted) return;
			const old = followed.answer ? "; what it shows was read before" : "";
			followed.problem = `${reasonFor(error)} The page keeps trying${old}.`;
			due = performance.now() + Math.max(Math.min(RETRY_MS, againMs), error.retryAfterMs);
		}
		draw();
	}
}
