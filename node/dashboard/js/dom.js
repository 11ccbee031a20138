/**
 * Building the page. Every text goes in as text and every attribute by name: no string is ever read as markup, so a
 * hospital's name can do no more than be shown.
 */

const SVG = "http://www.w3.org/2000/svg";
const LINK = /^(#|\/|ui\/|blob:|data:image\/png;base64,)/;

/**
 * An HTML element.
 * @param {string} tag Name of the element.
 * @param {Object} [attributes] `class`, `on` (listeners by event), `style` (custom properties and sizes), anything else by name;
 *   null, undefined and false leave an attribute out, true writes it empty.
 * @param {...(Node|string|number|Array|null|undefined|false)} children Nodes, texts, or lists of them.
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/**
 * An SVG element; see `h`.
 * @returns {SVGElement}
 */
export function s(tag, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "style") {
      for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    } else {
      element.setAttribute(safe(name, value), value === true ? "" : String(value));
    }
  }
  append(element, children);
  return element;
}

/** Attributes that could run code or lead elsewhere are refused: they would be a mistake of ours. */
function safe(name, value) {
  if (/^on/i.test(name) || name === "style" || name === "srcdoc")
    throw new TypeError(`attribute ${name} is not allowed`);
  if ((name === "href" || name === "src") && !LINK.test(String(value))) throw new TypeError(`${name} leads elsewhere`);
  return name;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Put other children in place of those an element has. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A text for screen readers alone. */
export function unseen(text) {
  return h("span", { class: "unseen" }, text);
}

let serial = 0;

/** An id no other element of the page has. */
export function freshId(stem) {
  serial += 1;
  return `${stem}-${serial}`;
}
