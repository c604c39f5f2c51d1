const A_FRAME = 4; // charts: 20 that change five times a second are 100 a second
const LATE_MS = 25;

/**
 * Gives `want(draw)`: have it called, once, in one of the next frames. What painting costs nobody tells: where the next frame
 * comes late, as long a rest follows. On a slow machine values come later, frames do not.
 */
export function frames(signal) {
	const waiting = new Set();
	let [asked, before, rest, drew] = [0, 0, 0, false];
	const ask = () => (asked ||= requestAnimationFrame(run));
	const run = () => {
		const now = performance.now();
		const took = now - before; // long where the page was hidden: then it says nothing
		rest = drew && took > LATE_MS && took < 1_000 ? took : rest - took;
		const due = rest > 0 ? [] : [...waiting].slice(0, A_FRAME); // whoever waits longest is first
		[asked, before, drew] = [0, now, due.length > 0];
		for (const draw of due) {
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
