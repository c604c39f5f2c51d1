/** The few things this page does to its document. Text goes in as text: nothing here parses HTML. */

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** The part of a cloned template, or of a panel, that has this name. */
export const part = (node, name) => node.querySelector(`[data-part="${name}"]`);

/** A fresh copy of a template's only element. */
export function clone(id) {
  return byId(id).content.firstElementChild.cloneNode(true);
}

/** Write text only where it differs, so that an idle page causes no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Write an attribute only where it differs. */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Show one of the shapes that index.html defines. */
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

/** Make a button copy the command beside it; where the clipboard is closed to us, select the text instead. */
export function offerCopy(button) {
  const code = byId(button.dataset.copy).querySelector("pre code");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2_000);
    } catch {
      getSelection().selectAllChildren(code);
    }
  });
}
