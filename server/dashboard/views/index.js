/**
 * Every view: a module of its name with `title` (a string, or a function of the params), and `async mount(root, desk)`, which
 * draws an <h1> before it awaits anything and lives until `desk.signal`. Without a `label` it is reached from others, `under`
 * whose entry it is; `scope`: what its key needs more than `read`; `unbound`: its key must not be bound to some devices.
 */
export const VIEWS = [
	{ name: "fleet", path: "/fleet", label: "Fleet", styles: ["fleet"] },
	{ name: "device", path: "/devices/:name", under: "fleet", styles: ["../vendor/uplot/uPlot.min", "alerts", "device"] },
	{ name: "alerts", path: "/alerts", label: "Alerts", styles: ["alerts"] },
	{ name: "rules", path: "/rules", label: "Rules", unbound: true },
	{ name: "rule", path: "/rules/:id", under: "rules", unbound: true, styles: ["rules"] },
	{ name: "silences", path: "/silences", label: "Silences", unbound: true },
	{ name: "keys", path: "/keys", label: "Keys", scope: "admin", unbound: true, styles: ["keys"] },
	{ name: "system", path: "/system", label: "System", styles: ["system"] },
];
