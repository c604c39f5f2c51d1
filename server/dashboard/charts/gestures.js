const STEP_PX = 4; // a finger that moved less has not moved
const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity, Escape: 0 };

/** Besides what the mouse draws out: `on` is the page's, `step(count)` reads so many values on; 0: none. */
export function follow(box, on, step) {
	const share = (x) => {
		const { left, width } = (box.querySelector(".u-over") ?? box).getBoundingClientRect();
		return (x - left) / width;
	};

	box.addEventListener("keydown", (event) => {
		if (!(event.key in STEPS) || event.ctrlKey || event.metaKey || event.altKey) return;
		event.preventDefault();
		event.stopPropagation(); // elsewhere these keys move the time
		step(STEPS[event.key]);
	});
	box.addEventListener("blur", () => step(0));
	box.addEventListener("dblclick", on.reset);

	const fingers = new Map(); // pointer id → x
	const held = () => {
		const [one, other = one] = fingers.values();
		return { middle: share((one + other) / 2), apart: Math.abs(one - other) };
	};
	box.addEventListener("pointerdown", ({ pointerType, pointerId, clientX }) => {
		if (pointerType === "touch") fingers.set(pointerId, clientX);
	});
	box.addEventListener("pointermove", ({ pointerId, clientX }) => {
		if (!(Math.abs(clientX - fingers.get(pointerId)) >= STEP_PX)) return;
		const before = held();
		fingers.set(pointerId, clientX);
		const after = held();
		if (before.apart && after.apart) on.zoom(before.apart / after.apart, after.middle);
		else on.move(before.middle - after.middle);
	});
	for (const type of ["pointerup", "pointercancel"]) box.addEventListener(type, ({ pointerId }) => fingers.delete(pointerId));
}
