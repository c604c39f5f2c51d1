/** The document by hand: what says its text aloud, and what stands beside a canvas. Text goes in as text, never as HTML. */

const MOST_SAID = 10; // at a time: nobody listens to a hundred
const SAID_MS = 10_000; // for which it stands there to be read

export const byId = (id) => document.getElementById(id);

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

const svg = (name, ...rest) => filled(document.createElementNS("http://www.w3.org/2000/svg", name), ...rest);

/** One of the shapes that index.html defines; hidden from those who listen unless it has a label. */
export function shape(name, label = "") {
  const spoken = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return svg("svg", { class: "shape", viewBox: "0 0 16 16", ...spoken }, svg("use", { href: `#shape-${name}` }));
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

function filled(node, ...children) {
  const attributes = children[0]?.constructor === Object ? children.shift() : {};
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if ((value ?? false) !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => (child ?? false) !== false));
  return node;
}
