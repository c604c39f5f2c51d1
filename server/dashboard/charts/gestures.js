/** How a chart is zoomed and moved besides drawing out a part: wheel, fingers, double click. */

const ZOOM_A_NOTCH = 1.0015; // to the power of the wheel's pixels
const SLOP_PX = 8; // a finger that moved less has not moved

/** Follow them: `on.zoom(factor, share)` around a place (0 left, 1 right), `on.move(share)` to later, `on.reset()`. */
export function follow(box, on) {
  const fingers = new Map(); // pointer id → {x, from, moved}
  const share = (x) => {
    const { left, width } = (box.querySelector(".u-over") ?? box).getBoundingClientRect();
    return (x - left) / (width || 1);
  };

  // Without a key the wheel scrolls the page: a page full of charts would hold it fast everywhere.
  box.addEventListener("wheel", (event) => {
    const { deltaX, deltaY, clientX } = event;
    const sideways = Math.abs(deltaX) > Math.abs(deltaY) ? deltaX : event.shiftKey ? deltaY : 0;
    if (event.ctrlKey || event.metaKey) on.zoom(ZOOM_A_NOTCH ** deltaY, share(clientX));
    else if (sideways) on.move(share(sideways) - share(0));
    else return;
    event.preventDefault();
  }, { passive: false });
  box.addEventListener("dblclick", () => on.reset());

  box.addEventListener("pointerdown", ({ pointerType, pointerId, clientX: x }) => {
    if (pointerType === "touch") fingers.set(pointerId, { x, from: x, moved: false });
  });
  box.addEventListener("pointermove", ({ pointerId, clientX }) => {
    const finger = fingers.get(pointerId);
    if (!finger) return;
    const [one, other] = fingers.values();
    const before = other && Math.abs(one.x - other.x);
    const step = share(finger.x) - share(clientX);
    finger.moved ||= Math.abs(clientX - finger.from) > SLOP_PX;
    finger.x = clientX;
    if (!finger.moved) return;
    if (!other) return void on.move(step);
    const after = Math.abs(one.x - other.x);
    if (before > SLOP_PX && after > SLOP_PX) on.zoom(before / after, share((one.x + other.x) / 2));
  });
  for (const type of ["pointerup", "pointercancel", "pointerleave"]) {
    box.addEventListener(type, ({ pointerId }) => fingers.delete(pointerId));
  }
}
