/** The parts pages are put together from. */

import { fill, freshId, h, unseen } from "./dom.js";
import { short } from "./format.js";

/** A page's head and body. */
export function page(title, lead, ...body) {
  return [h("header", { class: "page-head" }, h("h1", {}, title), lead && h("p", { class: "lead" }, lead)), ...body];
}

/** A titled box; `options.class` adds a class, `options.tools` stands to the right of the title. */
export function card(title, options, ...body) {
  const id = freshId("card");
  const head = h("div", { class: "card-head" }, h("h2", { id }, title), options?.tools);
  return h("section", { class: `card ${options?.class ?? ""}`, "aria-labelledby": id }, head, body);
}

const LONG = 18;

/** One figure with its name; a long text is set smaller. */
export function stat(label, value, note) {
  const long = typeof value === "string" && value.length > LONG;
  return h(
    "div",
    { class: "stat" },
    h("dt", {}, label),
    h("dd", { class: long ? "long" : null }, value),
    note && h("dd", { class: "note" }, note),
  );
}

/** Several figures in a row. */
export const stats = (...figures) => h("dl", { class: "stats" }, figures);

/** A word with a colour; the colour never says more than the word. Tones: good, bad, warn, busy, plain. */
export const badge = (text, tone = "plain") => h("span", { class: `badge ${tone}` }, text);

const TONES = { finalised: "good", aborted: "bad", open: "busy", active: "good", running: "busy" };

/** The state of a round or an epoch. */
export const status = (text) => badge(text, TONES[text] ?? "plain");

/** Names and values under each other. */
export function facts(rows) {
  const shown = rows.filter((row) => row && row[1] !== null && row[1] !== undefined);
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** A digest, address or CID: shortened, whole on hover, copied by its button. */
export function digest(text, { head = 8, tail = 4, href = null } = {}) {
  if (!text) return "–";
  const code = h("code", { title: text }, short(text, head, tail));
  return h("span", { class: "digest" }, href ? h("a", { href }, code) : code, copier(text));
}

function copier(text) {
  if (!navigator.clipboard) return null;
  const said = unseen(`Copy ${short(text)}`);
  const sign = h("span", { class: "copy-sign", "aria-hidden": "true" });
  const button = h("button", { type: "button", class: "copy", on: { click: copy } }, sign, said);
  async function copy() {
    await navigator.clipboard.writeText(text).catch(() => {});
    button.classList.add("copied");
    said.textContent = "Copied";
    setTimeout(() => {
      button.classList.remove("copied");
      said.textContent = `Copy ${short(text)}`;
    }, 1500);
  }
  return button;
}

/**
 * A table.
 * @param {{caption: string, hidden?: boolean, columns: Array<{title: string, cell: Function, number?: boolean, class?: string}>,
 *   rows: Object[], empty?: string, row?: Function}} options `hidden` keeps the caption for screen readers; `row` gives a
 *   row's attributes.
 */
export function table({ caption, hidden = true, columns, rows, empty = "Nothing yet.", row = () => ({}) }) {
  const cells = (item) =>
    columns.map((column, at) => {
      const attributes = { class: [column.number && "number", column.class].filter(Boolean).join(" ") || null };
      return at === 0
        ? h("th", { scope: "row", ...attributes }, column.cell(item))
        : h("td", attributes, column.cell(item));
    });
  const head = h(
    "tr",
    {},
    columns.map((c) => h("th", { scope: "col", class: c.number ? "number" : null }, c.title)),
  );
  const body = rows.length
    ? rows.map((item) => h("tr", row(item), cells(item)))
    : h("tr", {}, h("td", { colspan: columns.length, class: "none" }, empty));
  const made = h(
    "table",
    {},
    h("caption", { class: hidden ? "unseen" : null }, caption),
    h("thead", {}, head),
    h("tbody", {}, body),
  );
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
}

/** What stands where there is nothing to show. */
export const empty = (text, ...more) => h("div", { class: "empty" }, h("p", {}, text), more);

/** What stands while the node is asked. */
export function waiting(text = "Asking the node") {
  return h(
    "div",
    { class: "waiting", role: "status" },
    h("span", { class: "bar" }),
    h("span", { class: "bar" }),
    h("span", { class: "bar" }),
    unseen(text),
  );
}

/** What went wrong, with a way on. */
export function failure(error, again) {
  const button = again && h("button", { type: "button", class: "button", on: { click: again } }, "Try again");
  const title =
    error.status === 403
      ? "Not for this role"
      : error.status === 404
        ? "Not found"
        : (error.title ?? "Something went wrong");
  return h(
    "div",
    { class: "failure", role: "alert" },
    h("strong", {}, title),
    h("p", {}, error.detail || error.message),
    button,
  );
}

/** A notice that stays. Tones: warn, bad, plain. */
export const notice = (tone, ...body) => h("div", { class: `notice ${tone}` }, body);

/**
 * A box that asks and then shows; it shows that it waits, and what went wrong.
 * @param {Function} load Gives the children, or a promise of them.
 * @returns {HTMLElement & {again: Function}} `again` loads anew and leaves what is shown until then.
 */
export function loaded(load) {
  const box = h("div", { class: "loaded" }, waiting());
  box.again = async () => {
    try {
      fill(box, await load());
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(box, failure(error, box.again));
    }
  };
  box.again();
  return box;
}

/** A labelled bar from 0 to 1. */
export function meter(share, label) {
  const width = `${(100 * Math.max(0, Math.min(1, share))).toFixed(1)}%`;
  return h(
    "span",
    { class: "meter", role: "img", "aria-label": label },
    h("span", { class: "meter-fill", style: { width } }),
  );
}

/** A progress bar with its words. */
export function progress(share, label) {
  const now = Math.round(100 * Math.max(0, Math.min(1, share)));
  const bar = {
    role: "progressbar",
    "aria-valuemin": 0,
    "aria-valuemax": 100,
    "aria-valuenow": now,
    "aria-label": label,
  };
  return h("div", { class: "progress", ...bar }, h("span", { style: { width: `${now}%` } }));
}

/** Something folded away until it is asked for. */
export const folded = (summary, ...body) => h("details", {}, h("summary", {}, summary), body);

/** A button. */
export const button = (text, click, options = {}) =>
  h(
    "button",
    { type: "button", class: `button ${options.class ?? ""}`, disabled: options.disabled, on: { click } },
    text,
  );

/** A choice of one, with its label. */
export function select(label, options, chosen, change) {
  const id = freshId("select");
  const items = options.map(([value, text]) =>
    h("option", { value, selected: String(value) === String(chosen) }, text),
  );
  const box = h("select", { id, on: { change: (event) => change(event.target.value) } }, items);
  return h("span", { class: "field" }, h("label", { for: id }, label), box);
}
