/** The little that is done to the document by hand. */

const MOST_SAID = 10; // at a time: nobody listens to a hundred
const SAID_MS = 10_000; // for which it stands there to be read

export const byId = (id) => document.getElementById(id);

/** Say something above every view; "" takes it away. */
export function notify(text) {
	byId("notice").textContent = text;
	byId("notice").hidden = !text;
}

/** Say something to those who do not see the page: what comes at once is said one after the other. */
export function announce(text) {
	const line = document.createElement("p");
	line.textContent = text;
	const said = byId("announcer");
	said.append(line);
	while (said.children.length > MOST_SAID) said.firstElementChild.remove();
	setTimeout(() => line.remove(), SAID_MS);
}
