/** The drawn ledger: zoom, pan, choose with the mouse or the keys. Only what is in sight is in the document. */

import { fill, freshId, h, s } from "../dom.js";
import { brief, count } from "../format.js";
import { KINDS } from "../phases.js";
import { LANE, neighbour, STEP, TOP } from "./layout.js";
import { shape } from "./shapes.js";

const COLOURS = 6;
const MARGIN = 120;
const [NEAREST, FARTHEST] = [3, 0.12];
const PAN = 60;
const [READABLE, LARGEST] = [0.8, 1.25];
const ROOM = 56;

/**
 * A view of a laid-out window of the ledger.
 * @param {Object} graph See `layout`.
 * @param {{chosen: Function, filter: Function}} options `chosen` is told a transaction; `filter` says of a transaction whether
 *   it is shown in full.
 */
export class DagView {
  constructor(graph, { chosen, filter = () => true }) {
    Object.assign(this, {
      graph,
      chosen,
      filter,
      selected: null,
      focused: graph.nodes.at(-1) ?? null,
      zoom: 1,
      x: 0,
      y: 0,
      shown: new Map(),
    });
    const help = freshId("dag-help");
    this.edges = s("g", {});
    this.points = s("g", {});
    this.back = s("g", { "aria-hidden": "true" });
    this.names = s("g", { "aria-hidden": "true" });
    this.world = s("g", {}, this.back, this.edges, this.points);
    this.svg = s(
      "svg",
      {
        class: "dag-view",
        style: { "--tall": `${Math.round(graph.height + ROOM)}px` },
        role: "group",
        "aria-label": `The ledger: ${count(graph.nodes.length)} transactions in ${graph.lanes.length} lanes`,
        "aria-describedby": help,
        on: {
          wheel: (event) => this.wheel(event),
          pointerdown: (event) => this.grab(event),
          keydown: (event) => this.key(event),
        },
      },
      this.world,
      this.names,
    );
    const tool = (sign, words, action) =>
      h(
        "button",
        { type: "button", class: "icon-button", "aria-label": words, title: words, on: { click: action } },
        sign,
      );
    this.element = h(
      "div",
      { class: "dag" },
      this.svg,
      h(
        "p",
        { class: "unseen", id: help },
        "Arrow left goes to an approved transaction, arrow right to an approving one, up and down to another hospital. Enter opens it. Plus and minus zoom, zero shows all.",
      ),
      h(
        "div",
        { class: "dag-buttons" },
        tool("+", "Zoom in", () => this.scale(1.35)),
        tool("−", "Zoom out", () => this.scale(1 / 1.35)),
        tool("⤢", "Show all", () => this.fit()),
      ),
    );
    new ResizeObserver(() => {
      if (!this.fitted) this.fit();
      else this.settle();
    }).observe(this.element);
  }

  size() {
    const box = this.svg.getBoundingClientRect();
    return [box.width || 800, box.height || 400];
  }

  /** All of it in sight, or the newest part where all would be too small. */
  fit() {
    const [width, height] = this.size();
    this.fitted = true;
    const tall = Math.min(LARGEST, height / (this.graph.height + 8));
    const wide = width / this.graph.width;
    this.zoom = wide >= READABLE ? Math.min(tall, wide) : Math.max(READABLE, tall);
    if (this.graph.width * this.zoom <= width) this.x = (width - this.graph.width * this.zoom) / 2;
    else this.x = width - this.graph.width * this.zoom;
    this.y = Math.max(0, (height - this.graph.height * this.zoom) / 2);
    this.paint();
  }

  scale(factor, at = null) {
    const [width, height] = this.size();
    const [px, py] = at ?? [width / 2, height / 2];
    const zoom = Math.max(FARTHEST, Math.min(NEAREST, this.zoom * factor));
    this.x = px - ((px - this.x) * zoom) / this.zoom;
    this.y = py - ((py - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.paint();
  }

  /** The wheel scrolls the page; with Ctrl, as a pinch sends it too, it zooms; sideways it moves along the ledger. */
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey && Math.abs(event.deltaY) >= Math.abs(event.deltaX)) return;
    event.preventDefault();
    if (!event.ctrlKey && !event.metaKey) {
      this.x -= event.deltaX;
      this.soon();
      return;
    }
    const box = this.svg.getBoundingClientRect();
    this.scale(Math.exp(-event.deltaY / 400), [event.clientX - box.left, event.clientY - box.top]);
  }

  grab(event) {
    if (event.button !== 0) return;
    const from = { x: event.clientX - this.x, y: event.clientY - this.y };
    const start = [event.clientX, event.clientY];
    let moved = false;
    const move = (now) => {
      moved ||= Math.hypot(now.clientX - start[0], now.clientY - start[1]) > 4;
      if (!moved) return;
      this.x = now.clientX - from.x;
      this.y = now.clientY - from.y;
      this.soon();
    };
    const end = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      this.dragged = moved;
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const actions = {
      "+": () => this.scale(1.35),
      "=": () => this.scale(1.35),
      "-": () => this.scale(1 / 1.35),
      0: () => this.fit(),
    };
    if (actions[event.key]) actions[event.key]();
    else if (event.key.startsWith("Arrow") && event.shiftKey) this.pan(event.key);
    else if (event.key.startsWith("Arrow") && this.focused) this.go(neighbour(this.focused, event.key, this.graph));
    else if (event.key === "Home") this.go(this.graph.nodes[0]);
    else if (event.key === "End") this.go(this.graph.nodes.at(-1));
    else if ((event.key === "Enter" || event.key === " ") && this.focused) this.choose(this.focused);
    else return;
    event.preventDefault();
  }

  pan(key) {
    if (key === "ArrowLeft") this.x += PAN;
    if (key === "ArrowRight") this.x -= PAN;
    if (key === "ArrowUp") this.y += PAN;
    if (key === "ArrowDown") this.y -= PAN;
    this.paint();
  }

  /** Move the keyboard's place to a node, and the node into sight. */
  go(node) {
    if (!node) return;
    this.focused = node;
    this.reveal(node);
    this.paint();
    this.shown.get(node.tx.id)?.focus();
  }

  reveal(node) {
    const [width, height] = this.size();
    const [px, py] = [node.x * this.zoom + this.x, node.y * this.zoom + this.y];
    if (px < 40 || px > width - 40) this.x = width / 2 - node.x * this.zoom;
    if (py < 40 || py > height - 40) this.y = height / 2 - node.y * this.zoom;
  }

  choose(node) {
    this.select(node);
    this.chosen(node.tx);
  }

  /** Mark a node as the one that is looked at. */
  select(node) {
    this.selected = node;
    this.focused = node ?? this.focused;
    if (node) this.reveal(node);
    this.paint();
  }

  /** Once a frame, however often the mouse moves. */
  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.paint({ anew: false });
    });
  }

  /** The frame has another size: what is looked at stays in sight. */
  settle() {
    if (this.selected) this.reveal(this.selected);
    this.paint();
  }

  /** Draw what is in sight, and a screen more to either side: moving within that moves the picture and builds nothing. */
  paint({ anew = true } = {}) {
    const [width] = this.size();
    this.world.setAttribute("transform", `translate(${this.x} ${this.y}) scale(${this.zoom})`);
    fill(
      this.names,
      this.graph.lanes.map((name, at) =>
        s("text", { class: "lane-name", x: 10, y: (TOP + at * LANE) * this.zoom + this.y + 15 }, brief(name, 34)),
      ),
    );
    const [left, right] = [-this.x / this.zoom, (width - this.x) / this.zoom];
    const room = right - left;
    if (!anew && this.built && left >= this.built[0] && right <= this.built[1]) return;
    this.built = [left - room, right + room];
    const seen = (x) => x >= this.built[0] && x <= this.built[1];
    this.ground(width);
    fill(
      this.edges,
      this.graph.edges.filter(([child, parent]) => seen(child.x) || seen(parent.x)).map((edge) => this.edge(edge)),
    );
    const before = document.activeElement?.dataset?.tx;
    this.shown.clear();
    for (const node of this.graph.nodes)
      if (seen(node.x) || node === this.focused) this.shown.set(node.tx.id, this.node(node));
    fill(this.points, [...this.shown.values()]);
    if (before && this.shown.has(before) && this.element.isConnected)
      this.shown.get(before).focus({ preventScroll: true });
  }

  /** Lanes and the beginnings of rounds. */
  ground(width) {
    const across = Math.max(width / this.zoom, this.graph.width) + 2 * MARGIN;
    fill(
      this.back,
      this.graph.lanes.map(
        (_, at) =>
          at % 2 === 0 && s("rect", { class: "lane", x: -across, y: TOP + at * LANE, width: across * 3, height: LANE }),
      ),
      this.graph.rounds.map(({ round, x }) =>
        s(
          "g",
          {},
          s("line", { class: "round-line", x1: x - STEP / 2, x2: x - STEP / 2, y1: 14, y2: this.graph.height }),
          s("text", { class: "round-name", x: x - STEP / 2 + 5, y: 24 }, round ? `Round ${round}` : "Start"),
        ),
      ),
    );
  }

  edge([child, parent]) {
    const near = this.selected && (child === this.selected || parent === this.selected);
    const bend = Math.max(10, (child.x - parent.x) / 2);
    const faint = !near && !(this.filter(child.tx) && this.filter(parent.tx));
    return s("path", {
      class: `edge${near ? " near" : ""}${faint ? " faint" : ""}`,
      d: `M${child.x} ${child.y}C${child.x - bend} ${child.y} ${parent.x + bend} ${parent.y} ${parent.x} ${parent.y}`,
    });
  }

  node(node) {
    const { tx } = node;
    const words = `${KINDS[tx.kind] ?? tx.kind} by ${tx.hospital ?? "nobody"}, round ${tx.round}, ${tx.confirmed ? "confirmed" : "not confirmed yet"}, approves ${new Set(tx.parents).size}, approved by ${node.children.length} here`;
    const classes = [
      "node",
      `r${tx.round % COLOURS}`,
      !tx.confirmed && "open",
      node === this.selected && "chosen",
      !this.filter(tx) && "faint",
    ]
      .filter(Boolean)
      .join(" ");
    return s(
      "g",
      {
        class: classes,
        transform: `translate(${node.x} ${node.y})`,
        tabindex: node === this.focused ? 0 : -1,
        role: "button",
        "aria-label": words,
        "aria-pressed": String(node === this.selected),
        "data-tx": tx.id,
        on: {
          click: () => {
            if (!this.dragged) this.choose(node);
            this.dragged = false;
          },
          focus: () => {
            this.focused = node;
          },
        },
      },
      s("circle", { class: "halo", r: 13 }),
      shape(tx.kind),
      s("title", {}, `${KINDS[tx.kind] ?? tx.kind} · ${tx.hospital ?? "start"} · round ${tx.round}`),
    );
  }
}
