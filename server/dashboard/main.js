import { showAccount } from "./account.js";
import { Alerts } from "./alerts.js";
import { makeApi } from "./api.js";
import { Clock } from "./clock.js";
import { showConnection } from "./connection.js";
import { announce, byId, notify } from "./dom.js";
import { Live } from "./live.js";
import { showNavigation } from "./navigation.js";
import { prefetch, Router } from "./router.js";
import { Session } from "./session.js";
import { hideSignIn, showSignIn } from "./signin.js";

const ASK_AGAIN_MS = 2_000;

const clock = new Clock();
const session = new Session();
session.api = makeApi(clock, session, new AbortController().signal);
let ending = new AbortController();

function open() {
	ending.abort();
	ending = new AbortController();
	const { signal } = ending;
	const api = makeApi(clock, session, signal);
	const live = new Live(clock);
	const alerts = new Alerts(api, live);
	const router = new Router(byId("view"), session, (ends) => ({ api: api.within(ends), live, clock, alerts, session }));
	const entered = !byId("sign-in").hidden; // the form held the focus: the view takes it over
	hideSignIn();
	showFrame(true);
	showAccount(session);
	showConnection(live, clock, signal);
	showNavigation({ session, router, alerts }, signal);
	alerts.addEventListener("event", ({ detail: { event, alert } }) =>
		announce(`${alert.severity}: ${alert.rule.name} on ${alert.device} ${event.replace("_", " ")}.`), { signal });
	live.start(session, api, signal);
	alerts.start(clock, signal);
	router.start(signal, entered);
	prefetch();
}

/** The address stays, for whoever signs in next. */
function close({ reason }) {
	ending.abort();
	document.querySelectorAll(":popover-open").forEach((menu) => menu.hidePopover());
	showFrame(false);
	document.title = "Sluice";
	ask(reason);
}

function showFrame(shown) {
	for (const id of ["view", "connection", "account", "navigation"]) byId(id).hidden = !shown;
	notify("");
}

const ask = (reason) => showSignIn(reason, (key) => session.logIn(key));

async function begin() {
	try {
		if (!(await session.restore())) ask("");
		notify("");
	} catch (error) {
		notify(`${error.message} The page keeps trying.`);
		setTimeout(begin, Math.max(ASK_AGAIN_MS, error.retryAfterMs));
	}
}

// What was ended on purpose is no error.
addEventListener("unhandledrejection", (event) => {
	if (event.reason?.name === "AbortError") event.preventDefault();
});
byId("skip").addEventListener("click", (event) => {
	event.preventDefault(); // the hash belongs to the views
	byId(byId("view").hidden ? "key" : "view").focus();
});
session.addEventListener("change", open);
session.addEventListener("end", close);
begin();
