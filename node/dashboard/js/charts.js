/** Charts as SVG, drawn to the width there is. Series differ by colour, dashes and marks; the figures stand in a table below. */

import { freshId, h, s } from "./dom.js";
import { brief } from "./format.js";

const MARKS = ["circle", "square", "diamond", "triangle", "cross", "ring", "bar", "star"];
export const SERIES = MARKS.length;

/** A drawing that is made again whenever its width changes. */
export function drawn(label, draw) {
  const box = h("div", { class: "drawn" });
  let width = 0;
  const observer = new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now === width || now === 0) return;
    width = now;
    const picture = draw(width);
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", label);
    box.replaceChildren(picture);
  });
  observer.observe(box);
  return box;
}

/** A mark of the n-th series, centred on (x, y). */
export function mark(at, x, y, size = 4.5) {
  const k = at % SERIES;
  const attributes = { class: `mark series-${k}` };
  switch (MARKS[k]) {
    case "square":
      return s("rect", { ...attributes, x: x - size, y: y - size, width: 2 * size, height: 2 * size });
    case "diamond":
      return s("path", {
        ...attributes,
        d: `M${x} ${y - 1.3 * size}L${x + 1.3 * size} ${y}L${x} ${y + 1.3 * size}L${x - 1.3 * size} ${y}Z`,
      });
    case "triangle":
      return s("path", {
        ...attributes,
        d: `M${x} ${y - 1.2 * size}L${x + 1.2 * size} ${y + size}L${x - 1.2 * size} ${y + size}Z`,
      });
    case "cross":
      return s("path", {
        ...attributes,
        class: `mark line-mark series-${k}`,
        d: `M${x - size} ${y - size}L${x + size} ${y + size}M${x - size} ${y + size}L${x + size} ${y - size}`,
      });
    case "ring":
      return s("circle", { ...attributes, class: `mark line-mark series-${k}`, cx: x, cy: y, r: size });
    case "bar":
      return s("rect", { ...attributes, x: x - size / 2, y: y - 1.3 * size, width: size, height: 2.6 * size });
    case "star":
      return s("path", {
        ...attributes,
        class: `mark line-mark series-${k}`,
        d: `M${x} ${y - 1.3 * size}V${y + 1.3 * size}M${x - 1.3 * size} ${y}H${x + 1.3 * size}`,
      });
    default:
      return s("circle", { ...attributes, cx: x, cy: y, r: size });
  }
}

/** Names of series with their marks. */
export function legend(names) {
  return h(
    "ul",
    { class: "legend" },
    names.map((name, at) =>
      h(
        "li",
        {},
        s(
          "svg",
          { width: 28, height: 14, "aria-hidden": "true" },
          s("path", { class: `line series-${at % SERIES}`, d: "M1 7H27" }),
          mark(at, 14, 7, 4),
        ),
        h("span", { title: name }, brief(name)),
      ),
    ),
  );
}

/** Round steps between two values, about `wanted` of them. */
export function ticks(low, high, wanted = 5) {
  const raw = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, at) => Number(((first + at) * step).toPrecision(12)));
}

/**
 * Lines over rounds.
 * @param {{label: string, series: Array<{name: string, points: Array<[number, number]>}>, format: Function, across: string,
 *   height?: number, bounds?: [number, number]}} options `points` are (x, y); x are whole numbers.
 */
export function lines({ label, series, format, across, height = 260, bounds = null }) {
  const points = series.flatMap((one) => one.points);
  const xs = points.map(([x]) => x);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = bounds ?? around(points.map(([, y]) => y));
  const picture = drawn(label, (width) => {
    const frame = { l: 52, r: 14, t: 10, b: 40, width, height };
    const x = (value) => frame.l + ((value - left) / Math.max(1, right - left)) * (width - frame.l - frame.r);
    const y = (value) => height - frame.b - ((value - low) / (high - low || 1)) * (height - frame.t - frame.b);
    return s(
      "svg",
      { width, height, class: "chart" },
      axes({ frame, x, y, low, high, left, right, format, across }),
      series.map((one, at) => line(one, at, x, y)),
    );
  });
  return h("figure", { class: "figure" }, picture, legend(series.map((one) => one.name)));
}

/** Bounds a little wider than the values, within 0 and 1 where the values are. */
function around(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max(0.05, (high - low) * 0.15);
  const share = low >= 0 && high <= 1;
  return [share ? Math.max(0, low - room) : low - room, share ? Math.min(1, high + room) : high + room];
}

function axes({ frame, x, y, low, high, left, right, format, across }) {
  const rows = ticks(low, high, 5).map((value) =>
    s(
      "g",
      { class: "tick" },
      s("line", { x1: frame.l, x2: frame.width - frame.r, y1: y(value), y2: y(value) }),
      s("text", { x: frame.l - 8, y: y(value) + 4, "text-anchor": "end" }, format(value)),
    ),
  );
  const most = Math.max(1, Math.floor((frame.width - frame.l - frame.r) / 44));
  const columns = ticks(left, right, Math.min(most, right - left || 1))
    .filter(Number.isInteger)
    .map((value) =>
      s(
        "text",
        { class: "tick-label", x: x(value), y: frame.height - frame.b + 18, "text-anchor": "middle" },
        String(value),
      ),
    );
  const name = s(
    "text",
    { class: "axis-name", x: (frame.l + frame.width - frame.r) / 2, y: frame.height - 4, "text-anchor": "middle" },
    across,
  );
  return s("g", { "aria-hidden": "true" }, rows, columns, name);
}

function line({ name, points }, at, x, y) {
  const path = points.map(([px, py], k) => `${k ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
  const marks = points.map(([px, py]) => mark(at, x(px), y(py)));
  return s("g", {}, s("title", {}, name), s("path", { class: `line series-${at % SERIES}`, d: path }), marks);
}

/**
 * Rows of stacked bars, one a row, all on one scale.
 * @param {{label: string, rows: Array<{name: string, parts: number[], total?: string}>, parts: string[], format: Function}} options
 */
export function bars({ label, rows, parts, format }) {
  const most = Math.max(...rows.map((row) => row.parts.reduce((sum, part) => sum + part, 0)), 1e-9);
  const id = freshId("bars");
  const bar = (row) =>
    h(
      "div",
      { class: "bar-row" },
      h("span", { class: "bar-name" }, row.name),
      h(
        "span",
        { class: "bar-track" },
        row.parts.map(
          (part, at) =>
            part > 0 &&
            h("span", {
              class: `bar-part fill-${at % SERIES}`,
              title: `${parts[at]}: ${format(part)}`,
              style: { width: `${(100 * part) / most}%` },
            }),
        ),
      ),
      h("span", { class: "bar-total" }, row.total ?? format(row.parts.reduce((sum, part) => sum + part, 0))),
    );
  const key =
    parts.length > 1 &&
    h(
      "ul",
      { class: "legend" },
      parts.map((name, at) =>
        h("li", {}, h("span", { class: `swatch fill-${at % SERIES}`, "aria-hidden": "true" }), name),
      ),
    );
  return h("figure", { class: "figure", id, role: "img", "aria-label": label }, rows.map(bar), key);
}
