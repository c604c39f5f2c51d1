/** When charts are drawn: at most once a frame, those alone that are within sight, and only as many as a frame has room for. */

const BUDGET_MS = 6; // of the sixteen a frame has: the rest belongs to the browser and to the viewer

export class Frames {
  #waiting = new Set();
  #asked = 0;

  constructor(signal) {
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#asked), { once: true });
  }

  /** Have something drawn (`draw()`) in one of the next frames; again before that is the same. */
  want(drawn) {
    this.#waiting.add(drawn);
    this.#asked ||= requestAnimationFrame(() => this.#draw());
  }

  /** It needs to be drawn no more. */
  forget(drawn) {
    this.#waiting.delete(drawn);
  }

  #draw() {
    const until = performance.now() + BUDGET_MS;
    this.#asked = 0;
    for (const drawn of this.#waiting) {
      this.#waiting.delete(drawn); // whoever waits longest is first: a set keeps their order
      drawn.draw();
      if (performance.now() > until) break;
    }
    if (this.#waiting.size) this.#asked = requestAnimationFrame(() => this.#draw());
  }
}
