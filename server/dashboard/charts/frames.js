/**
 * When charts are drawn: at most once a frame, those alone that are within sight, and only as many as a frame has room for.
 * What painting costs is told to nobody; so there are fewer at a time after a frame that came late, and slowly more again.
 */

const BUDGET_MS = 6; // of the sixteen a frame has: the rest belongs to the browser and to the viewer
const LATE_MS = 25;
const MORE = 0.1;

export class Frames {
  #waiting = new Set();
  #asked = 0;
  #room = 4; // charts in a frame
  #before = 0;

  constructor(signal) {
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#asked), { once: true });
  }

  /** Have something drawn (`draw()`) in one of the next frames; again before that is the same. */
  want(drawn) {
    this.#waiting.add(drawn);
    this.#ask();
  }

  #ask() {
    this.#asked ||= requestAnimationFrame((now) => {
      this.#asked = 0;
      this.#draw(now);
    });
  }

  #draw(now) {
    const took = now - this.#before; // long where nothing was drawn: then it says nothing
    this.#before = now;
    if (took > LATE_MS && took < 1_000) this.#room = Math.max(1, this.#room / 2);
    else this.#room += MORE;
    const until = performance.now() + BUDGET_MS;
    let left = Math.floor(this.#room);
    for (const drawn of this.#waiting) {
      this.#waiting.delete(drawn); // whoever waits longest is first: a set keeps their order
      drawn.draw();
      if (--left < 1 || performance.now() > until) break;
    }
    if (this.#waiting.size) this.#ask();
  }
}
