/** When charts are drawn: a few in each frame, so that every frame is in time; painting one costs more than drawing it. */

const A_FRAME = 4; // charts: 20 that change five times a second are 100 a second

/** Gives `want(draw)`: have it called in one of the next frames; again before that is the same. */
export function frames(signal) {
  const waiting = new Set();
  let asked = 0;
  const ask = () => (asked ||= requestAnimationFrame(run));
  const run = () => {
    asked = 0;
    for (const draw of [...waiting].slice(0, A_FRAME)) { // whoever waits longest is first: a set keeps their order
      waiting.delete(draw);
      draw();
    }
    if (waiting.size) ask();
  };
  signal.addEventListener("abort", () => cancelAnimationFrame(asked), { once: true });
  return (draw) => {
    waiting.add(draw);
    ask();
  };
}
