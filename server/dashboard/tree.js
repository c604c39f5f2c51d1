/** What pages are built of. Text goes in as text, never as HTML. */

import { announce } from "./dom.js";
import { formatMoment, formatUtc } from "./format.js";
import { cloneElement, h as node, render } from "./vendor/preact/preact.mjs";

export { render };

/** `h("p.muted.small", {title: "…"}, …)`; attributes may be left out. */
export function h(name, ...children) {
	const [tag, ...classes] = name.split(".");
	const attributes = children[0]?.constructor === Object ? children.shift() : {};
	if (attributes.class) classes.push(attributes.class);
	return node(tag, { ...attributes, class: classes.join(" ") || null }, ...children);
}

export function shape(name, label) {
	const spoken = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
	return h("svg.shape", { viewBox: "0 0 16 16", ...spoken }, h("use", { href: `#shape-${name}` }));
}

export const button = (text, act, attributes) =>
	h("button", { type: "button", class: "quiet", onclick: act, ...attributes }, text);

/** `options` are texts, or `[value, text]`. */
export const select = (attributes, options, chosen) =>
	h("select", attributes, options.map((option) => {
		const [value, text = value] = [option].flat();
		return h("option", { value, selected: value === chosen }, text);
	}));

export const search = (label, placeholder, text, take) =>
	h("input", {
		type: "search", "aria-label": label, placeholder, autocomplete: "off", defaultValue: text,
		oninput: ({ target }) => take(target.value),
	});

export const viewHead = (title, ...children) => h("header.view-head", h("h1", title), children);

export const panel = (title, count, ...children) =>
	h("section.panel", { key: title, "aria-label": title },
		h("h2", title, " ", count !== null && h("span.count", count)), children);

export const choices = (legend, name, options, chosen, choose) =>
	h("fieldset.choices", h("legend", legend), options.map(([value, text]) =>
		h("label",
			h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }),
			text)));

/** `unseen` is what the column without a name is called to those who listen. */
export function table(columns, rows, unseen) {
	const heads = columns.map((column) => h("th", { scope: "col" }, column || h("span.unseen", unseen)));
	return h("table", h("thead", h("tr", heads)), h("tbody", rows));
}

export const notice = (text) => h("p.notice", { role: "status", hidden: !text }, text);

export const moment = (iso) => h("time", { datetime: iso, title: formatUtc(iso) }, formatMoment(iso));

export function field(label, control, hint) {
	const id = hint && `hint-${control.props.name}`;
	return h("div.field",
		h("label.field", h("span", label), cloneElement(control, { "aria-describedby": id })),
		hint && h("span.muted.small", { id }, hint));
}

export const textField = (label, name, { hint, ...attributes }) =>
	field(label, h("input", { name, autocomplete: "off", ...attributes }), hint);

/** Where the clipboard is closed to us, it selects the <code> within `around` instead. */
export const copyButton = (text, around) =>
	button("Copy", async ({ target }) => {
		try {
			await navigator.clipboard.writeText(text);
			target.textContent = "Copied";
			announce("Copied.");
		} catch {
			getSelection().selectAllChildren(target.closest(around).querySelector("code"));
		}
	});

export const command = (text) =>
	h("div.commands", h("pre.command", { tabindex: "0" }, h("code", text)), copyButton(text, ".commands"));
