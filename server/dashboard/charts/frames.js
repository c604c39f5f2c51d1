/**
 * When charts are drawn: at most once a frame, those alone that are within sight, and only as many as a frame has room for.
 * What painting costs is told to nobody; so there are fewer at a time after a frame that came late, and slowly more again.
 */

const BUDGET_MS = 6; // of the sixteen a frame has: the rest belongs to the browser and to the viewer
const LATE_MS = 25;
const MORE = 0.1;

/** Gives `want(drawn)`: have `drawn.draw()` called in one of the next frames; again before that is the same. */
export function frames(signal) {
  const waiting = new Set();
  let [asked, room, before] = [0, 4, 0]; // room: charts in a frame
  const ask = () => (asked ||= requestAnimationFrame(draw));
  const draw = (now) => {
    const took = now - before; // long where nothing was drawn: then it says nothing
    [asked, before] = [0, now];
    room = took > LATE_MS && took < 1_000 ? Math.max(1, room / 2) : room + MORE;
    const until = performance.now() + BUDGET_MS;
    let left = Math.floor(room);
    for (const drawn of waiting) {
      waiting.delete(drawn); // whoever waits longest is first: a set keeps their order
      drawn.draw();
      if (--left < 1 || performance.now() > until) break;
    }
    if (waiting.size) ask();
  };
  signal.addEventListener("abort", () => cancelAnimationFrame(asked), { once: true });
  return (drawn) => {
    waiting.add(drawn);
    ask();
  };
}
