const RETRY_MS = 3_000;

/** Reads again and again. Gives `{answer, problem, load}`: what came last, why none came since, and how to read at once. */
export function follow({ clock, signal }, read, draw, againMs = 10_000) {
	const followed = { answer: null, problem: "", load };
	let asked = 0; // the question that counts: answers to older ones are dropped
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
			followed.problem = `${error.message} The page keeps trying.`;
			due = performance.now() + Math.max(Math.min(againMs, RETRY_MS), error.retryAfterMs);
		}
		draw();
	}
}
