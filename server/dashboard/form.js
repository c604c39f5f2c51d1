import { announce } from "./dom.js";
import { button, h, render } from "./tree.js";

/** `draw()` draws its `content()` anew. */
export function openDialog(title, content) {
	const dialog = document.createElement("dialog");
	dialog.className = "dialog";
	dialog.setAttribute("aria-labelledby", "dialog-title");
	const draw = () => render([h("h2", { id: "dialog-title" }, title), content()], dialog);
	document.body.append(dialog);
	draw();
	dialog.showModal();
	return { dialog, draw };
}

/** Gives what `submit(FormData)` gave, even where the dialog is gone meanwhile; null where nothing was done. */
export function askFor({ title, lead = [], fields, action, said, danger = false, submit }, signal) {
	let doing = false;
	let problem = "";
	return new Promise((resolve) => {
		const { dialog, draw } = openDialog(title, () =>
			h("form", { onsubmit: act },
				lead.map((text) => text && h("p", text)),
				fields,
				h("p.problem", { role: "alert" }, problem),
				h("div.actions",
					button("Cancel", () => dialog.close(), { disabled: doing }),
					h("button", { class: danger ? "quiet danger" : "main", disabled: doing }, action))));
		dialog.addEventListener("cancel", (event) => doing && event.preventDefault());
		dialog.addEventListener("close", () => {
			dialog.remove();
			if (!doing) resolve(null);
		});
		signal.addEventListener("abort", () => dialog.close(), { once: true });

		async function act(event) {
			event.preventDefault();
			const values = new FormData(event.target);
			[doing, problem] = [true, ""];
			draw();
			try {
				resolve((await submit(values)) ?? true);
				dialog.close();
				announce(said);
			} catch (error) {
				if (!dialog.open) resolve(null);
				[doing, problem] = [false, saidBy(error)];
				draw();
			}
		}
	});
}

export function saidBy(error) {
	const places = (error.errors ?? []).map(({ loc, message }) => `${loc.slice(-2).join(" ")}: ${message}`);
	return [error.message, ...places].join("\n");
}
