/**
 * Every view there is. A view is a module with `title` (a string, or a function of the params), and
 * `async mount(root, desk)`, which draws an <h1> before it awaits anything. It lives until `desk.signal`.
 *
 *   name    of the view, and of `data-view` on its root
 *   paths   of the hash, the first being the navigation's; `:name` is one percent-decoded segment
 *   label   in the navigation; a view without one is reached from others (`under`: whose entry is marked then)
 *   scope   the key must have; `unbound: true`: it must not be bound to some devices
 *   styles  files of this folder that the view needs, without ".css"
 */
export const VIEWS = [
  {
    name: "fleet",
    paths: ["/fleet"],
    label: "Fleet",
    scope: "read",
    styles: ["fleet"],
    load: () => import("./fleet.js"),
  },
  {
    name: "device",
    paths: ["/devices/:name"],
    under: "fleet",
    scope: "read",
    styles: ["../vendor/uplot/uPlot.min", "alerts", "device"],
    load: () => import("./device.js"),
  },
  {
    name: "alerts",
    paths: ["/alerts"],
    label: "Alerts",
    scope: "read",
    badge: "alerts",
    styles: ["alerts"],
    load: () => import("./alerts.js"),
  },
  {
    name: "rules",
    paths: ["/rules"],
    label: "Rules",
    scope: "read",
    unbound: true,
    styles: ["rules"],
    load: () => import("./rules.js"),
  },
  {
    name: "rule",
    paths: ["/rules/:id"],
    under: "rules",
    scope: "read",
    unbound: true,
    styles: ["rules"],
    load: () => import("./rule.js"),
  },
  {
    name: "silences",
    paths: ["/silences"],
    label: "Silences",
    scope: "read",
    unbound: true,
    styles: ["alerts"],
    load: () => import("./silences.js"),
  },
  {
    name: "keys",
    paths: ["/keys"],
    label: "Keys",
    scope: "admin",
    unbound: true,
    styles: ["keys"],
    load: () => import("./keys.js"),
  },
  {
    name: "system",
    paths: ["/system"],
    label: "System",
    scope: "read",
    styles: ["system"],
    load: () => import("./system.js"),
  },
];
