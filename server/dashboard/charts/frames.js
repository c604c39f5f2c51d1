const A_FRAME = 4; // charts: 20 that change five times a second are 100 a second
const LATE_MS = 25;

/**
 * Gives `want(draw)`: have it called, once, in one of the next frames. What painting costs nobody tells, so a frame that came
 * late is followed by as long a rest: on a slow machine values come later, frames do not.
 */
export function frames(signal) {
	const waiting = new Set();
	let [asked, before, rest] = [0, 0, 0];
	const ask = () => (asked ||= requestAnimationFrame(run));
	const run = () => {
		const now = performance.now();
		const took = now - before; // long where the page was hidden: then it says nothing
		rest = took > LATE_MS && took < 1_000 ? took : rest - took;
		[asked, before] = [0, now];
		for (const draw of rest > 0 ? [] : [...waiting].slice(0, A_FRAME)) { // whoever waits longest is first
			waiting.delete(draw);
			draw();
		}
		if (waiting.size) ask();
	};
	return (draw) => {
		if (signal.aborted) return;
		if (!asked) before = performance.now(); // idle time is not the time of a frame
		waiting.add(draw);
		ask();
	};
}
