/** Whether this node can do its part: chain, disk, ledger, key, peers, storage, versions. */

import { getOr } from "../api.js";
import { fill, h } from "../dom.js";
import { bytes, capital, clock, count, duration, moment } from "../format.js";
import { badge, card, digest, empty, facts, meter, page, stat, stats, table } from "../parts.js";
import { on, refreshStatus } from "../state.js";

const AGAIN_MS = 15000;

/** The page. */
export async function show({ signal, may }) {
  const box = h("div", { class: "stack" });
  const load = async () => {
    const [status, ready, storage] = await Promise.all([
      refreshStatus({ signal }),
      readiness(signal),
      may("GET /v1/storage") ? getOr("storage", null, { signal }) : null,
    ]);
    if (!signal.aborted) fill(box, content(status, ready, storage));
  };
  await load();
  const timer = setInterval(() => load().catch(() => null), AGAIN_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  for (const topic of ["warning", "epoch"]) on(topic, () => load().catch(() => null), signal);
  return page("Health", "What this node needs to take part in rounds.", box);
}

/** A node that is not ready answers 503, with the same document. */
async function readiness(signal) {
  const answer = await fetch("/v1/ready", { signal, credentials: "same-origin" });
  return answer.json().catch(() => ({ ready: false, checks: [] }));
}

function content(status, ready, storage) {
  return [
    stats(
      stat("State", ready.ready ? badge("ready", "good") : badge("not ready", "bad")),
      stat("Running for", duration(status.seconds)),
      stat("Version", status.version ?? "–"),
      stat("Ledger", count(status.transactions), `${count(status.tips)} tips`),
    ),
    card("Checks", {}, h("ul", { class: "checks", "aria-label": "Checks of this node" }, ready.checks.map(check))),
    h(
      "div",
      { class: "columns" },
      card(
        "Ledger",
        {},
        facts([
          ["Transactions", count(status.transactions)],
          ["Tips", count(status.tips)],
          ["Own, still to be heard of", count(status.outbox)],
          ["Missing here", count(status.missing)],
        ]),
      ),
      storage && card("Storage", {}, kept(storage)),
    ),
    card(
      "Peers",
      {},
      table({
        caption: "Other members' nodes",
        empty: "No other member has a node.",
        rows: status.peers ?? [],
        columns: [
          { title: "Hospital", class: "wrap", cell: (one) => one.name },
          { title: "Node", class: "wrap", cell: (one) => h("code", {}, one.url || "–") },
        ],
      }),
    ),
    card("Last warnings", {}, warnings(status.warnings ?? [])),
    card(
      "Consortium",
      {},
      facts([
        ["Consortium", digest(status.consortium)],
        ["Account of this hospital", digest(status.hospital.account)],
        ["Its address", status.hospital.url],
        ["Key epoch", status.epoch.active ? count(status.epoch.active) : "none"],
        ["Keys", status.epoch.doing || "nothing under way"],
      ]),
    ),
  ];
}

const check = ({ name, ok, detail }) =>
  h(
    "li",
    {},
    h("span", { class: `sign ${ok ? "ok" : "bad"}`, "aria-hidden": "true" }, ok ? "✓" : "✗"),
    h("span", { class: "name" }, capital(name)),
    h("p", {}, h("span", { class: "unseen" }, ok ? "Well: " : "Not well: "), detail),
  );

function kept(storage) {
  const limit = storage.quota_bytes ?? (storage.free_bytes === null ? null : storage.bytes + storage.free_bytes);
  const share = limit ? storage.bytes / limit : null;
  return [
    facts([
      ["Kept in", storage.store === "ipfs" ? "an IPFS node" : "files"],
      ["Blobs", count(storage.blobs)],
      ["Size", bytes(storage.bytes)],
      ["Quota", storage.quota_bytes ? bytes(storage.quota_bytes) : "none"],
      ["Free on the disk", bytes(storage.free_bytes)],
      ["Counted", moment(storage.counted)],
    ]),
    share !== null &&
      h(
        "p",
        {},
        meter(
          share,
          `${(100 * share).toFixed(1)} per cent of ${storage.quota_bytes ? "the quota" : "the disk"} used by blobs`,
        ),
        ` ${(100 * share).toFixed(1)} % used by blobs`,
      ),
  ];
}

function warnings(rows) {
  if (!rows.length) return empty("None since the node was started.");
  return h(
    "ol",
    { class: "activity" },
    rows.map((one) => h("li", { class: "warning" }, h("time", {}, clock(one.time)), h("span", {}, one.text))),
  );
}
