/**
 * Every view: a module of its name with `title` (a string, or a function of the params), and `async mount(root, desk)`, which
 * draws an <h1> before it awaits anything and lives until `desk.signal`. Without a `label` it is reached from others, `under`
 * whose entry it is; `unbound`: its key must not be bound to some devices.
 */
export const VIEWS = [
  { name: "fleet", paths: ["/fleet"], label: "Fleet", scope: "read", styles: ["fleet"] },
  { name: "device", paths: ["/devices/:name"], under: "fleet", scope: "read", styles: ["../vendor/uplot/uPlot.min", "alerts", "device"] },
  { name: "alerts", paths: ["/alerts"], label: "Alerts", scope: "read", styles: ["alerts"] },
  { name: "rules", paths: ["/rules"], label: "Rules", scope: "read", unbound: true, styles: ["rules"] },
  { name: "rule", paths: ["/rules/:id"], under: "rules", scope: "read", unbound: true, styles: ["rules"] },
  { name: "silences", paths: ["/silences"], label: "Silences", scope: "read", unbound: true, styles: ["alerts"] },
  { name: "keys", paths: ["/keys"], label: "Keys", scope: "admin", unbound: true, styles: ["keys"] },
  { name: "system", paths: ["/system"], label: "System", scope: "read", styles: ["system"] },
];
