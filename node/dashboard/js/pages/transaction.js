/** One transaction beside the drawing: its fields, what it approves, who approves it, and what can be verified of it. */

import { download, get, request } from "../api.js";
import { fill, h } from "../dom.js";
import { bytes, count, plural } from "../format.js";
import { badge, button, card, digest, empty, facts, folded } from "../parts.js";
import { KINDS } from "../phases.js";
import { members } from "../state.js";

/**
 * The box of a transaction.
 * @param {Object|null} tx As `/v1/transactions/{cid}` gives it.
 * @param {{children: Object[], open: Function, close: Function, signal: AbortSignal}} options
 */
export function detail(tx, { children, open, close, signal }) {
  const shut = h(
    "button",
    { type: "button", class: "icon-button", "aria-label": "Close", title: "Close", on: { click: close } },
    "×",
  );
  if (!tx) return card("Transaction", { tools: shut }, empty("This node does not have this transaction (yet)."));
  const verdict = h("div", {});
  const link = (id) =>
    h("button", { type: "button", class: "chip", on: { click: () => open(id) } }, `${id.slice(0, 8)}…${id.slice(-6)}`);
  const parents = [...new Set(tx.parents)];
  return card(
    KINDS[tx.kind] ?? tx.kind,
    { tools: shut },
    facts([
      ["Hospital", tx.hospital ?? "the start of the ledger"],
      ["State", tx.confirmed ? badge("confirmed", "good") : badge("waiting", "busy")],
      ["Round", count(tx.round)],
      ["Key epoch", count(tx.epoch)],
      ["Its issuer's number", count(tx.sequence)],
      ["Size", bytes(tx.bytes)],
      ["Id", digest(tx.id, { head: 9, tail: 4 })],
      ["Blob", tx.payload ? digest(tx.payload, { head: 9, tail: 4 }) : null],
    ]),
    h("h3", {}, "Approves"),
    parents.length
      ? h("div", { class: "chips" }, parents.map(link))
      : h("p", { class: "help" }, "Nothing: the ledger begins with it."),
    h("h3", {}, "Approved by"),
    children.length
      ? h(
          "div",
          { class: "chips" },
          children.slice(0, 12).map((child) => link(child.id)),
          children.length > 12 && `and ${children.length - 12} more`,
        )
      : h("p", { class: "help" }, "Nothing in this window yet."),
    h("h3", {}, "Verification"),
    h(
      "div",
      { class: "tools" },
      button("Verify", () => verify(tx, verdict, signal), { class: "primary" }),
      tx.confirmed && tx.round > 0 && button("Download proof", () => proof(tx, verdict)),
    ),
    verdict,
    folded("What it says", said(tx.body)),
  );
}

function said(body) {
  const rows = Object.entries(body).map(([name, value]) => [name.replaceAll("_", " "), shown(value)]);
  return rows.length ? facts(rows) : h("p", { class: "help" }, "Nothing beside its approvals.");
}

function shown(value) {
  if (typeof value === "string") return /^[0-9a-z]{40,}$/i.test(value) ? digest(value) : value;
  if (Array.isArray(value) && value.every((item) => typeof item === "string"))
    return h(
      "span",
      { class: "chips" },
      value.map((item) => digest(item, { head: 6, tail: 4 })),
    );
  if (value === null) return "none";
  return JSON.stringify(value);
}

/** Steps that each can fail, in the browser where that is possible. */
async function verify(tx, box, signal) {
  fill(box, h("p", { role: "status" }, "Verifying…"));
  const steps = [await sameBytes(tx, signal), await reached(tx, signal), await approved(tx, signal)];
  fill(
    box,
    h(
      "ul",
      { class: "checks", "aria-label": "Verification" },
      steps.map(({ state, name, text }) =>
        h(
          "li",
          {},
          h("span", { class: `sign ${state}`, "aria-hidden": "true" }, { ok: "✓", bad: "✗", open: "?" }[state]),
          h("span", { class: "name" }, name),
          h(
            "p",
            {},
            h("span", { class: "unseen" }, { ok: "Holds: ", bad: "Does not hold: ", open: "Open: " }[state]),
            text,
          ),
        ),
      ),
    ),
  );
}

/** The id is the digest of the bytes: computed here, not believed. */
async function sameBytes(tx, signal) {
  const name = "Id";
  if (!globalThis.crypto?.subtle)
    return { state: "open", name, text: "This browser computes digests only over HTTPS or on this machine." };
  try {
    const raw = await (await request(`transactions/${tx.id}/raw`, { signal })).arrayBuffer();
    const made = new Uint8Array(await crypto.subtle.digest("SHA-256", raw));
    const hex = [...made].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex === tx.hex
      ? {
          state: "ok",
          name,
          text: `This browser hashed the ${count(raw.byteLength)} bytes: they are what the id names.`,
        }
      : { state: "bad", name, text: `The bytes hash to ${hex}, which is not the id. Do not trust this node's answer.` };
  } catch (error) {
    return { state: "open", name, text: error.message };
  }
}

/** What it approves is in the ledger. */
async function reached(tx, signal) {
  const name = "Past";
  try {
    const parents = await Promise.all([...new Set(tx.parents)].map((id) => get(`transactions/${id}`, { signal })));
    return {
      state: "ok",
      name,
      text: parents.length
        ? `${plural(parents.length, "transaction")} it approves ${parents.length === 1 ? "is" : "are"} here. The node checked its signature when it took it.`
        : "It is the first one.",
    };
  } catch (error) {
    return { state: "bad", name, text: `Something it approves is missing: ${error.message}` };
  }
}

/** How many members approve it. */
async function approved(tx, signal) {
  const name = "Quorum";
  try {
    const [fresh, { quorum }] = await Promise.all([get(`transactions/${tx.id}`, { signal }), members()]);
    const text = `${plural(fresh.weight, "member")} of the ${quorum} needed approve it.`;
    return { state: fresh.confirmed ? "ok" : "open", name, text };
  } catch (error) {
    return { state: "open", name, text: error.message };
  }
}

async function proof(tx, box) {
  try {
    await download(`transactions/${tx.id}/proof`, `${tx.id}.proof`);
    fill(
      box,
      h(
        "p",
        { role: "status" },
        "The proof of inclusion was downloaded. Check it anywhere with ",
        h("code", {}, "medweave ledger verify"),
        ".",
      ),
    );
  } catch (error) {
    fill(box, h("p", { role: "alert" }, error.message));
  }
}
