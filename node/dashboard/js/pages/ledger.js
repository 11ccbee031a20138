/** The ledger drawn by windows of rounds; a click leads to a transaction, what it approves, and its verification. */

import { getOr, list } from "../api.js";
import { layout } from "../dag/layout.js";
import { shape } from "../dag/shapes.js";
import { DagView } from "../dag/view.js";
import { fill, h, s } from "../dom.js";
import { count, plural } from "../format.js";
import { badge, button, card, digest, empty, folded, page, select, table } from "../parts.js";
import { KINDS } from "../phases.js";
import { remember } from "../router.js";
import { on, refreshStatus, state } from "../state.js";
import { detail } from "./transaction.js";

const MOST = 6000;
const WINDOWS = [1, 2, 5, 10];
const IN_TABLE = 20;

/** The page: `#/ledger?from=2&to=4&tx=CID`. */
export async function show({ parameters, signal }) {
  const status = state.status ?? (await refreshStatus({ signal }));
  const last = status.round?.round ?? status.finalised ?? 0;
  const wanted = Number(parameters.get("to") ?? last) || last;
  const to = Math.max(0, Math.min(last, wanted));
  const from = Math.max(0, Math.min(to, Number(parameters.get("from") ?? Math.max(1, to - 1))));
  const window_ = new Window({ from, to, last, tx: parameters.get("tx"), signal });
  await window_.load();
  on("transactions", () => window_.later(), signal);
  on("transaction", () => window_.later(), signal);
  return page(
    "Ledger",
    "Every transaction approves two earlier ones; what a quorum approves is confirmed.",
    window_.element,
  );
}

/** A window of rounds: its drawing, its table, and the transaction that is looked at. */
class Window {
  constructor({ from, to, last, tx, signal }) {
    Object.assign(this, { from, to, last, tx, signal, kind: "", rows: [], listed: IN_TABLE, timer: null });
    this.bar = h("div", { class: "tools" });
    this.drawing = h("div", {});
    this.beside = h("aside", { "aria-label": "Transaction", hidden: true });
    this.below = h("div", {});
    this.grid = h(
      "div",
      { class: "ledger" },
      card("Drawn by hospital", { tools: this.bar }, this.drawing),
      this.beside,
    );
    this.element = h("div", { class: "stack" }, this.grid, card("As a table", {}, this.below));
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  /** Look again a little later, however many transactions come. */
  later() {
    if (this.timer !== null || this.to < this.last) return;
    this.timer = setTimeout(async () => {
      this.timer = null;
      const now = state.status?.round?.round ?? this.last;
      if (now > this.last && this.to === this.last) [this.from, this.to] = [this.from + now - this.last, now];
      this.last = Math.max(this.last, now);
      await this.load().catch(() => null);
    }, 1200);
  }

  async load() {
    const rows = [];
    this.cut = false;
    for (let round = this.from; round <= this.to; round += 1) {
      const part = await list("transactions", "transactions", { round }, MOST - rows.length, { signal: this.signal });
      rows.push(...part.rows);
      this.cut ||= part.more;
      if (rows.length >= MOST) break;
    }
    const same =
      rows.length === this.rows.length &&
      rows.every((row, at) => row.id === this.rows[at].id && row.confirmed === this.rows[at].confirmed);
    if (same && this.view) return;
    this.rows = rows;
    this.draw();
    if (this.tx) await this.open(this.tx, { focus: false });
  }

  draw() {
    const graph = layout(this.rows);
    const old = this.view;
    this.view = new DagView(graph, {
      chosen: (tx) => this.open(tx.id),
      filter: (tx) => !this.kind || tx.kind === this.kind,
    });
    if (old?.fitted && this.tx) {
      Object.assign(this.view, { zoom: old.zoom, x: old.x, y: old.y, fitted: true });
      this.view.selected = graph.byId.get(this.tx) ?? null;
    }
    fill(this.bar, this.controls());
    fill(this.drawing, this.rows.length ? [this.view.element, key()] : empty("No transactions in these rounds."));
    this.list();
  }

  controls() {
    const rounds = Array.from({ length: this.last + 1 }, (_, at) => [at, at ? `Round ${at}` : "Start"]).reverse();
    const span = this.to - this.from + 1;
    const move = (from, to) => {
      this.from = Math.max(0, from);
      this.to = to;
      this.view = null;
      this.close();
      remember({ from: this.from, to: this.to });
      return this.load();
    };
    const spans = WINDOWS.includes(span) ? WINDOWS : [...WINDOWS, span].sort((a, b) => a - b);
    return [
      button("Earlier", () => move(this.from - span, this.to - span), { disabled: this.from <= 0 }),
      select("Up to", rounds, this.to, (value) => move(Number(value) - span + 1, Number(value))),
      select(
        "Showing",
        spans.map((n) => [n, plural(n, "round")]),
        span,
        (value) => move(this.to - Number(value) + 1, this.to),
      ),
      button("Later", () => move(this.from + span, Math.min(this.last, this.to + span)), {
        disabled: this.to >= this.last,
      }),
      select("Highlight", [["", "all kinds"], ...Object.entries(KINDS)], this.kind, (value) => {
        this.kind = value;
        this.listed = IN_TABLE;
        this.view.paint();
        this.list();
      }),
    ];
  }

  list() {
    const rows = this.rows.filter((tx) => !this.kind || tx.kind === this.kind);
    const newest = [...rows].reverse().slice(0, this.listed);
    const open = (tx) =>
      h(
        "a",
        {
          href: `#/ledger?from=${this.from}&to=${this.to}&tx=${tx.id}`,
          on: {
            click: (event) => {
              event.preventDefault();
              this.open(tx.id);
            },
          },
        },
        KINDS[tx.kind] ?? tx.kind,
      );
    fill(
      this.below,
      h(
        "p",
        { class: "help" },
        `${plural(rows.length, "transaction")}${rows.length > newest.length ? `, the newest ${count(newest.length)} below` : ""}.${this.cut ? ` Only the first ${count(MOST)} of this window were read: choose fewer rounds.` : ""}`,
      ),
      table({
        caption: "Transactions of this window, newest first",
        rows: newest,
        columns: [
          { title: "Kind", cell: open },
          { title: "Hospital", cell: (tx) => tx.hospital ?? "–", class: "wrap" },
          { title: "Round", number: true, cell: (tx) => count(tx.round) },
          { title: "Approved by", number: true, cell: (tx) => plural(tx.weight ?? 0, "member") },
          { title: "State", cell: (tx) => (tx.confirmed ? badge("confirmed", "good") : badge("waiting", "busy")) },
          { title: "Transaction", cell: (tx) => digest(tx.id) },
        ],
      }),
      rows.length > newest.length &&
        h(
          "p",
          {},
          button("Show more", () => {
            this.listed += 5 * IN_TABLE;
            this.list();
          }),
        ),
    );
  }

  async open(id, { focus = true } = {}) {
    this.tx = id;
    remember({ from: this.from, to: this.to, tx: id });
    const node = this.view?.graph.byId.get(id) ?? null;
    this.view?.select(node);
    const tx = node?.tx ?? (await getOr(`transactions/${id}`, null, { signal: this.signal }));
    this.beside.hidden = false;
    this.grid.classList.add("open-detail");
    fill(
      this.beside,
      detail(tx, {
        children: node?.children.map((one) => one.tx) ?? [],
        open: (other) => this.open(other),
        close: () => this.close(true),
        signal: this.signal,
      }),
    );
    if (focus)
      this.beside
        .querySelector("h2")
        ?.parentElement.querySelector("button")
        ?.focus({ preventScroll: innerWidth >= 1200 });
  }

  close(back = false) {
    const node = this.view?.selected;
    this.tx = null;
    this.beside.hidden = true;
    this.grid.classList.remove("open-detail");
    remember({ from: this.from, to: this.to });
    this.view?.select(null);
    if (back && node) this.view.go(node);
  }
}

function key() {
  const sample = (kind, name, open = false) =>
    h(
      "li",
      {},
      s(
        "svg",
        { width: 22, height: 22, viewBox: "-12 -12 24 24", "aria-hidden": "true", class: open ? "open" : null },
        shape(kind),
      ),
      name,
    );
  return [
    h(
      "ul",
      { class: "kinds", "aria-label": "Shapes" },
      Object.entries(KINDS)
        .filter(([kind]) => kind !== "genesis")
        .map(([kind, name]) => sample(kind, name)),
      sample("update", "Hollow: not confirmed yet", true),
    ),
    folded(
      "How to move",
      h(
        "p",
        {},
        "Drag to move, Ctrl and the wheel (or + and −) to zoom. With the keyboard: arrows go from transaction to transaction, Shift and arrows move the drawing, Enter opens, 0 shows all. Colours tell rounds apart.",
      ),
    ),
  ];
}
