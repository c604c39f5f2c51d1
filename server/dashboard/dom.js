const MOST_SAID = 10;
const SAID_MS = 10_000;

export const byId = (id) => document.getElementById(id);

export function notify(text) {
	byId("notice").textContent = text;
	byId("notice").hidden = !text;
}

/** For those who do not see the page; what comes at once is said one after the other. */
export function announce(text) {
	const line = document.createElement("p");
	line.textContent = text;
	const said = byId("announcer");
	said.append(line);
	while (said.children.length > MOST_SAID) said.firstElementChild.remove();
	setTimeout(() => line.remove(), SAID_MS);
}
