/** How a chart is zoomed and moved besides drawing out a part: wheel, fingers, double click. */

const ZOOM_A_NOTCH = 1.0015; // to the power of the wheel's pixels
const SLOP_PX = 8; // a finger that moved less has not moved

/**
 * Follow them until the signal.
 * @param {Function} over gives the element that is drawn on, or null
 * @param {{zoom: Function, move: Function, reset: Function}} on `zoom(factor, share)` around a place (0 left, 1 right),
 *   `move(share)` to later, `reset()`
 */
export function follow(box, over, on, signal) {
  const fingers = new Map(); // pointer id → x
  const width = () => over()?.clientWidth || 1;
  const share = (x) => (x - (over()?.getBoundingClientRect().left ?? 0)) / width();

  // Without a key the wheel scrolls the page: a page full of charts would hold it fast everywhere.
  box.addEventListener("wheel", (event) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey ? event.deltaY : 0;
    if (event.ctrlKey || event.metaKey) on.zoom(ZOOM_A_NOTCH ** event.deltaY, share(event.clientX));
    else if (sideways) on.move(sideways / width());
    else return;
    event.preventDefault();
  }, { passive: false, signal });
  box.addEventListener("dblclick", () => on.reset(), { signal });

  const touched = (type, act) =>
    box.addEventListener(type, (event) => event.pointerType === "touch" && act(event), { signal });
  touched("pointerdown", ({ pointerId, clientX }) => fingers.set(pointerId, { x: clientX, from: clientX, moved: false }));
  touched("pointermove", ({ pointerId, clientX }) => {
    const finger = fingers.get(pointerId);
    if (!finger) return;
    finger.moved ||= Math.abs(clientX - finger.from) > SLOP_PX;
    const [one, other] = fingers.values();
    const before = other && Math.abs(one.x - other.x);
    const step = clientX - finger.x;
    finger.x = clientX;
    if (!finger.moved) return;
    if (!other) return void on.move(-step / width());
    const after = Math.abs(one.x - other.x);
    if (before > SLOP_PX && after > SLOP_PX) on.zoom(before / after, share((one.x + other.x) / 2));
  });
  for (const type of ["pointerup", "pointercancel", "pointerleave"]) {
    touched(type, ({ pointerId }) => fingers.delete(pointerId));
  }
}
