/** One round: where it stands, who took part, how it was scored, what it cost. */

import { get } from "../api.js";
import { bars } from "../charts.js";
import { fill, h } from "../dom.js";
import { bytes, capital, clock, count, duration, moment, percent, plural } from "../format.js";
import { badge, card, digest, empty, facts, folded, page, stat, stats, status, table } from "../parts.js";
import { phaseTitle } from "../phases.js";
import { members, nameOf, on } from "../state.js";

/** The page of a round. */
export async function one(number, { signal }) {
  await members();
  const box = h("div", { class: "stack" });
  const load = async () => fill(box, content(await get(`rounds/${number}`, { signal })));
  await load();
  for (const topic of ["phase", "round"])
    on(topic, (fact) => fact.round === number && load().catch(() => null), signal);
  return page(
    `Round ${number}`,
    [
      h("a", { href: "#/rounds" }, "All rounds"),
      " · ",
      h("a", { href: `#/ledger?from=${number}&to=${number}` }, "Its transactions in the ledger"),
    ],
    box,
  );
}

function content(round) {
  const training = round.here.training;
  const took = round.phases.reduce((sum, phase) => sum + (phase.seconds ?? 0), 0);
  return [
    stats(
      stat("State", status(round.status)),
      stat("Updates", `${round.updates.length} of ${round.members}`),
      stat("Time at this hospital", took ? duration(took) : "–"),
      stat("Led by", round.leader_name ?? "not decided"),
    ),
    h(
      "div",
      { class: "columns" },
      card(
        "On the chain",
        {},
        facts([
          ["Trains from", digest(round.base, { href: `#/models/${round.base}` })],
          ["Model made", round.model ? digest(round.model, { href: `#/models/${round.model}` }) : "none"],
          ["Statement", digest(round.statement)],
          ["Plan", digest(round.plan)],
          ["Opened by", nameOf(round.opener)],
          ["Key epoch", count(round.epoch)],
          ["Updates until", moment(round.collect_by)],
          ["Over by", moment(round.finalise_by)],
          ["Blocks", `${count(round.opened_in)} to ${count(round.ended_in)}`],
          ["Signed by", plural(round.signers.length, "member")],
        ]),
      ),
      card(
        "At this hospital",
        {},
        facts([
          ["Images trained on", training ? count(training.samples) : "–"],
          ["Training", duration(training?.seconds)],
          ["Steps", count(training?.steps)],
          ["Last loss", training?.losses?.length ? training.losses.at(-1).toFixed(4) : "–"],
          ["Sealed update", bytes(round.bytes.upload)],
          ["Shares of openings", bytes(round.bytes.shares)],
          ["Gas", count(round.gas.total)],
          ["Test accuracy before", percent(round.here.test_before?.accuracy)],
          ["Test accuracy after", percent(round.here.test?.accuracy)],
        ]),
      ),
    ),
    card("Phases", {}, phases(round)),
    card(
      "Updates",
      {},
      table({
        caption: "Updates of this round",
        empty: "No update yet.",
        rows: round.updates,
        columns: [
          { title: "Hospital", cell: (u) => u.hospital ?? "–", class: "wrap" },
          { title: "Images", number: true, cell: (u) => count(u.samples) },
          { title: "Weight", number: true, cell: (u) => percent(u.weight_ppm / 1e6) },
          { title: "Quorum", cell: (u) => (u.confirmed ? badge("confirmed", "good") : badge("waiting", "busy")) },
          {
            title: "Transaction",
            cell: (u) =>
              digest(u.transaction, { href: `#/ledger?from=${round.round}&to=${round.round}&tx=${u.transaction}` }),
          },
        ],
      }),
    ),
    card("Verdicts", {}, verdicts(round)),
    card("Plan", {}, plan(round.plan_text)),
  ];
}

function phases(round) {
  const begun = round.phases.filter((phase) => phase.ended !== null);
  if (!begun.length) return empty("This hospital took no part in this round.");
  return [
    bars({
      label: "Seconds per phase; the table below has the same figures",
      rows: begun.map((phase) => ({ name: phaseTitle(phase.name), parts: [phase.seconds ?? 0] })),
      parts: ["Seconds"],
      format: duration,
    }),
    folded(
      "The figures as a table",
      table({
        caption: "Phases of this round at this hospital",
        rows: round.phases,
        columns: [
          { title: "Phase", cell: (p) => phaseTitle(p.name) },
          { title: "Over at", number: true, cell: (p) => clock(p.ended) },
          { title: "Took", number: true, cell: (p) => duration(p.seconds) },
        ],
      }),
    ),
  ];
}

function verdicts(round) {
  const groups = Math.max(0, ...round.verdicts.map((verdict) => verdict.group_accuracies.length));
  const sections = Math.max(1, ...round.verdicts.map((verdict) => verdict.sections));
  const each = groups / sections;
  const title = (at) =>
    sections > 1 ? `Section ${Math.floor(at / each) + 1}, group ${(at % each) + 1}` : `Group ${at + 1}`;
  const group = (at) => ({
    title: title(at),
    number: true,
    cell: (v) => [
      percent(v.group_accuracies[at]),
      " ",
      v.accept[at] ? badge("accepts", "good") : badge("refuses", "bad"),
    ],
  });
  return table({
    caption: "How each member scored the opened sums",
    empty: "No verdict yet.",
    rows: round.verdicts,
    columns: [
      { title: "Hospital", cell: (v) => v.hospital ?? "–", class: "wrap" },
      { title: "Held-out images", number: true, cell: (v) => count(v.samples) },
      { title: "Before", number: true, cell: (v) => percent(v.base_accuracy) },
      ...Array.from({ length: groups }, (_, at) => group(at)),
      { title: "Counted", cell: (v) => (v.counted ? "yes" : "no") },
    ],
  });
}

function plan(text) {
  if (!text) return empty("The plan is not at this node yet.");
  const said = (value) =>
    Array.isArray(value) ? value.join(", ") : typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
  return facts(Object.entries(text).map(([name, value]) => [capital(name.replaceAll("_", " ")), said(value)]));
}
