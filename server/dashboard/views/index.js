/**
 * Each is a module with `async mount(root, desk)`, which draws an <h1>, the title, before it awaits anything.
 * `under`: whose link leads to it; `scope`: what its key needs besides `read`; `unbound`: to devices.
 */
export const VIEWS = [
	{ name: "fleet", path: "/fleet", label: "Fleet" },
	{ name: "device", path: "/devices/:name", under: "fleet" },
	{ name: "alerts", path: "/alerts", label: "Alerts" },
	{ name: "rules", path: "/rules", label: "Rules", unbound: true },
	{ name: "rule", path: "/rules/:id", under: "rules", unbound: true },
	{ name: "silences", path: "/silences", label: "Silences", unbound: true },
	{ name: "keys", path: "/keys", label: "Keys", scope: "admin", unbound: true },
	{ name: "system", path: "/system", label: "System" },
];
