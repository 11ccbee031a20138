/** Models as a graph: each box a model, each line the round that led from one to the next. */

import { h, s } from "./dom.js";
import { short } from "./format.js";

const [W, H, GAP_X, GAP_Y] = [124, 54, 38, 22];

/**
 * The lineage, first model to the left; it scrolls where it is wider than the page.
 * @param {Object[]} models Oldest first.
 * @param {{newest?: string, chosen?: string}} options
 */
export function lineage(models, { newest, chosen } = {}) {
  const placed = places(models);
  const [columns, rows] = [Math.max(...placed.map((p) => p.column)) + 1, Math.max(...placed.map((p) => p.row)) + 1];
  const [width, height] = [columns * (W + GAP_X) - GAP_X + 4, rows * (H + GAP_Y) - GAP_Y + 4];
  const byId = new Map(placed.map((p) => [p.model.model, p]));
  const lines = placed.filter((p) => byId.has(p.model.parent)).map((p) => edge(byId.get(p.model.parent), p));
  const boxes = placed.map((p) => node(p, { newest, chosen }));
  const box = h(
    "div",
    { class: "lineage", tabindex: "0", role: "region", "aria-label": "Lineage of models" },
    s("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, lines, boxes),
  );
  requestAnimationFrame(() => {
    box.scrollLeft = box.scrollWidth;
  });
  return box;
}

function places(models) {
  const depth = new Map();
  const taken = new Map();
  return models.map((model) => {
    const column = depth.has(model.parent) ? depth.get(model.parent) + 1 : 0;
    depth.set(model.model, column);
    const row = taken.get(column) ?? 0;
    taken.set(column, row + 1);
    return { model, column, row, x: 2 + column * (W + GAP_X), y: 2 + row * (H + GAP_Y) };
  });
}

function edge(from, to) {
  const [x1, y1, x2, y2] = [from.x + W, from.y + H / 2, to.x, to.y + H / 2];
  return s("path", {
    class: "edge",
    "aria-hidden": "true",
    d: `M${x1} ${y1}C${x1 + GAP_X / 2} ${y1} ${x2 - GAP_X / 2} ${y2} ${x2} ${y2}`,
  });
}

function node({ model, x, y }, { newest, chosen }) {
  const title = model.round ? `Round ${model.round}` : "First model";
  const kind = [model.model === newest && "head", model.model === chosen && "chosen"].filter(Boolean).join(" ");
  const words = `${title}, model ${short(model.model)}${model.model === newest ? ", newest" : ""}`;
  return s(
    "a",
    {
      href: `#/models/${model.model}`,
      class: kind || null,
      "aria-label": words,
      "aria-current": model.model === chosen ? "true" : null,
    },
    s("rect", { x, y, width: W, height: H, rx: 9 }),
    s("text", { x: x + 13, y: y + 23 }, title),
    s("text", { class: "faint-text", x: x + 13, y: y + 41 }, short(model.model, 8, 4)),
  );
}
