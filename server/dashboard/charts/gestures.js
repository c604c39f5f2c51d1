const ZOOM_A_NOTCH = 1.0015; // to the power of the wheel's pixels
const STEP_PX = 4; // a finger that moved less has not moved
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity, Escape: 0 };

/** Besides what the mouse draws out: `on` is the page's, `step(count)` reads so many values on; 0: none. */
export function follow(box, on, step) {
	const listen = (types, take, options) => types.split(" ").forEach((type) => box.addEventListener(type, take, options));
	const share = (x) => {
		const { left, width } = (box.querySelector(".u-over") ?? box).getBoundingClientRect();
		return (x - left) / (width || 1);
	};

	listen("keydown", (event) => {
		if (!(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
		event.preventDefault();
		event.stopPropagation(); // elsewhere these keys move the time
		step(STEPS[event.key]);
	});
	listen("blur", () => step(0));

	// Without a key the wheel scrolls the page: a page full of charts would hold it fast everywhere.
	listen("wheel", (event) => {
		const { deltaX, deltaY, clientX } = event;
		const sideways = Math.abs(deltaX) > Math.abs(deltaY) ? deltaX : event.shiftKey ? deltaY : 0;
		if (event.ctrlKey || event.metaKey) on.zoom(ZOOM_A_NOTCH ** deltaY, share(clientX));
		else if (sideways) on.move(share(sideways) - share(0));
		else return;
		event.preventDefault();
	}, { passive: false });
	listen("dblclick", on.reset);

	const fingers = new Map(); // pointer id → x
	const held = () => {
		const [one, other = one] = fingers.values();
		return { middle: share((one + other) / 2), apart: Math.abs(one - other) };
	};
	listen("pointerdown", ({ pointerType, pointerId, clientX }) => pointerType === "touch" && fingers.set(pointerId, clientX));
	listen("pointermove", ({ pointerId, clientX }) => {
		if (!(Math.abs(clientX - fingers.get(pointerId)) >= STEP_PX)) return;
		const before = held();
		fingers.set(pointerId, clientX);
		const after = held();
		if (before.apart && after.apart) on.zoom(before.apart / after.apart, after.middle);
		else on.move(before.middle - after.middle);
	});
	listen("pointerup pointercancel", ({ pointerId }) => fingers.delete(pointerId));
}
