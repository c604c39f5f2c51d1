/** The few things this page does to its document. Text goes in as text: nothing here parses HTML. */

const MOST_SAID = 10; // at a time: nobody listens to a hundred
const SAID_MS = 10_000; // for which it stands there to be read
const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** The part of an element that has this name. */
export const part = (node, name) => node.querySelector(`[data-part="${name}"]`);

/** Make an element: attributes that are false or null are left out; children are nodes, text, or arrays of those. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for what stands inside an <svg>. */
export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** One of the shapes that index.html defines; hidden from those who listen unless it has a label. */
export function shape(name, label = "") {
  const spoken = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return svg("svg", { class: "shape", ...spoken }, svg("use", { href: `#shape-${name}` }));
}

/** Write text only where it differs, so that an idle page causes no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Write an attribute only where it differs. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Show another of the shapes. */
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
  const line = h("p", {}, text);
  const said = byId("announcer");
  said.append(line);
  while (said.children.length > MOST_SAID) said.firstElementChild.remove();
  setTimeout(() => line.remove(), SAID_MS);
}

/** A button that copies what `read()` gives; where the clipboard is closed to us, it selects `code` instead. */
export function copyButton(read, code, signal) {
  const button = h("button", { type: "button", class: "quiet" }, "Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(read());
      button.textContent = "Copied";
      announce("Copied.");
      setTimeout(() => (button.textContent = "Copy"), 2_000);
    } catch {
      getSelection().selectAllChildren(code);
    }
  };
  button.addEventListener("click", copy, { signal });
  return button;
}

/** A command to paste into a shell, with its button. */
export function command(text, signal) {
  const code = h("code", {}, text);
  const block = h("pre", { class: "command", tabindex: "0" }, code);
  return h("div", { class: "commands" }, block, copyButton(() => text, code, signal));
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
