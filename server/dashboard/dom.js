/** The few things this page does to its document. Text goes in as text: nothing here parses HTML. */

const MOST_SAID = 10; // at a time: nobody listens to a hundred
const SAID_MS = 10_000; // for which it stands there to be read

export const byId = (id) => document.getElementById(id);

export const part = (node, name) => node.querySelector(`[data-part="${name}"]`);

/**
 * Make an element: `h("p.muted.small", {title: "…"}, …)`. Attributes may be left out; those that are false or null are, and
 * those that are functions listen ("onclick"). Children are nodes, text, or arrays of those.
 */
export function h(name, ...rest) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  return filled(node, ...rest);
}

export const svg = (name, ...rest) => filled(document.createElementNS("http://www.w3.org/2000/svg", name), ...rest);

/** One of the shapes that index.html defines; hidden from those who listen unless it has a label. */
export function shape(name, label = "") {
  const spoken = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return svg("svg", { class: "shape", ...spoken }, svg("use", { href: `#shape-${name}` }));
}

/** Write text only where it differs, so that an idle page causes no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function setShape(node, name) {
  setAttribute(node.querySelector("use"), "href", `#shape-${name}`);
}

/** Put `children` into `list` in this order, moving only what is out of place. */
export function arrange(list, children) {
  let place = list.firstElementChild;
  for (const child of children) {
    if (child === place) place = place.nextElementSibling;
    else list.insertBefore(child, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
}

/** Say something to those who do not see the page: what comes at once is said one after the other. */
export function announce(text) {
  const line = h("p", text);
  const said = byId("announcer");
  said.append(line);
  while (said.children.length > MOST_SAID) said.firstElementChild.remove();
  setTimeout(() => line.remove(), SAID_MS);
}

/** A button; one that is not `class: "main"` is quiet. */
export function button(text, act, attributes = {}) {
  return h("button", { type: "button", class: "quiet", onclick: act, ...attributes }, text);
}

/** A <select> of `options`, each a text or `[value, text]`. */
export function select(attributes, options, chosen) {
  return h("select", attributes, options.map((option) => {
    const [value, text = value] = [option].flat();
    return h("option", { value, selected: value === chosen }, text);
  }));
}

/** A panel with a heading; `more` stands beside that, such as a count. */
export function panel(title, more, ...children) {
  return h("section.panel", { "aria-label": title }, h("h2", title, " ", more), children);
}

/** A <table>: its columns by name, "" for one that is `unseen` by this name, and its <tbody>. */
export function table(columns, body, unseen) {
  const heads = columns.map((column) => h("th", { scope: "col" }, column || h("span.unseen", unseen)));
  return h("table", h("thead", h("tr", heads)), body);
}

/** Draws items into a list, keeping each one's row by its `id`: `make(item)` gives `{row, draw(item)}`. */
export function keyed(list, make) {
  let rows = new Map();
  return (items) => {
    rows = new Map(items.map((item) => [item.id, rows.get(item.id) ?? make(item)]));
    for (const item of items) rows.get(item.id).draw(item);
    arrange(list, [...rows.values()].map(({ row }) => row));
  };
}

/** A button that copies `text`; where the clipboard is closed to us, it selects `code` instead. */
export function copyButton(text, code) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
      announce("Copied.");
      setTimeout(() => (copy.textContent = "Copy"), 2_000);
    } catch {
      getSelection().selectAllChildren(code);
    }
  });
  return copy;
}

export function command(text) {
  const code = h("code", text);
  return h("div.commands", h("pre.command", { tabindex: "0" }, code), copyButton(text, code));
}

function filled(node, ...children) {
  const attributes = children[0]?.constructor === Object ? children.shift() : {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if ((value ?? false) !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => (child ?? false) !== false));
  return node;
}
