/** One model: what it is, how it was made and scored, its statement, and an audit that runs on this node. */

import { download, get, getOr } from "../api.js";
import { lines } from "../charts.js";
import { lineage } from "../lineage.js";
import { h } from "../dom.js";
import { count, percent, plural } from "../format.js";
import {
  badge,
  button,
  card,
  digest,
  empty,
  facts,
  folded,
  loaded,
  notice,
  page,
  stat,
  stats,
  table,
} from "../parts.js";
import { audit } from "./audit.js";

/** The page of a model. */
export async function one(hash, { signal, may }) {
  const [model, provenance] = await Promise.all([
    get(`models/${hash}`, { signal }),
    may("GET /v1/models/{model}/provenance") ? getOr(`models/${hash}/provenance`, null, { signal }) : null,
  ]);
  const story = loaded(() => told(hash, signal));
  const name = model.round ? `Model of round ${model.round}` : "First model";
  const steps = [...(provenance?.lineage ?? [])].reverse();
  const file = may("GET /v1/models/{model}/file") && model.held;
  return page(
    name,
    [
      h("a", { href: "#/models" }, "All models"),
      model.round ? [" · ", h("a", { href: `#/rounds/${model.round}` }, `Round ${model.round}`)] : null,
    ],
    stats(
      stat("Model", digest(model.model)),
      stat("Made in", model.round ? `Round ${model.round}` : "Start"),
      stat("Follows", model.parent ? digest(model.parent, { href: `#/models/${model.parent}` }) : "–"),
      stat("Block", count(model.block)),
    ),
    steps.length > 1 && card("Where it came from", {}, lineage(steps, { chosen: model.model })),
    may("POST /v1/audits") && card("Audit", {}, audit(model, signal)),
    story,
    provenance && card("Statement", {}, statement(model, steps.at(-1)?.statement_text)),
    card("To keep", {}, files(model, file, may)),
  );
}

function files(model, file, may) {
  const wrong = h("p", { role: "alert" });
  const save = (path, name) => () =>
    download(path, name).then(
      () => {
        wrong.textContent = "";
      },
      (error) => {
        wrong.textContent = error.message;
      },
    );
  const stem = model.model.slice(0, 16);
  return [
    h(
      "div",
      { class: "tools" },
      button("Model card (HTML)", save(`models/${model.model}/card?form=html`, `card-${stem}.html`)),
      button("Model card (Markdown)", save(`models/${model.model}/card?form=md`, `card-${stem}.md`)),
      model.statement &&
        may("GET /v1/models/{model}/statement") &&
        button("Statement", save(`models/${model.model}/statement`, `statement-${stem}.json`)),
      model.statement &&
        may("GET /v1/models/{model}/envelope") &&
        button("Signed envelope", save(`models/${model.model}/envelope`, `statement-${stem}.dsse.json`)),
      file && button("Model file", save(`models/${model.model}/file`, `model-${stem}.bin`), { class: "primary" }),
    ),
    wrong,
  ];
}

/** The card, drawn here from what it is made of. */
async function told(hash, signal) {
  const story = await getOr(`models/${hash}/card?form=json`, null, { signal });
  if (!story)
    return card("Model card", {}, empty("Something this model's card is made of has not reached this node yet."));
  return h(
    "div",
    { class: "stack" },
    card(
      "Model card",
      {},
      notice("warn", "A research model: not a medical device, and no diagnosis. No authority has approved it."),
      h("h3", {}, "What it is"),
      what(story),
    ),
    card("Accuracy", {}, accuracy(story)),
    card(
      "Hospitals and their data",
      {},
      table({
        caption: "Images each hospital declares",
        rows: story.hospitals,
        columns: [
          { title: "Hospital", cell: (one_) => one_.name, class: "wrap" },
          { title: "Images declared", number: true, cell: (one_) => count(one_.declared) },
          {
            title: "Rounds it took part in",
            number: true,
            cell: (one_) =>
              count(
                story.rounds.filter((r) =>
                  r.participants.some((p) => p.account.toLowerCase() === one_.account.toLowerCase()),
                ).length,
              ),
          },
          { title: "Member now", cell: (one_) => (one_.present ? "yes" : "no") },
        ],
      }),
      h("p", { class: "help" }, "All counts are the hospitals' own. Images and labels never left them."),
    ),
    story.rounds.length > 0 && card("Rounds that led to it", {}, rounds(story)),
  );
}

function what({ plan, rounds: made }) {
  if (!plan) return empty("No round has been planned from this model yet.");
  return facts([
    ["Tells apart", plan.classes.join(", ")],
    ["Architecture", plan.architecture],
    ["Images", `${plan.image_size} × ${plan.image_size} pixels`],
    ["Local epochs a round", count(plan.epochs)],
    ["Rounds planned", count(plan.rounds)],
    [
      "Encryption",
      `${plan.parameter_set}, ${plan.threshold ? `any ${plan.threshold} members open a sum` : "a quorum of members opens a sum"}`,
    ],
    ["Smallest opened sum", plural(plan.min_group, "update")],
    ["Software", [...new Set(made.map((r) => r.software))].join(", ") || "–"],
  ]);
}

/** Score after each round, as `Story.curve` has it: a round's base is the model of the round before. */
function accuracy(story) {
  const points = story.rounds.map((r) => [r.number - 1, r.before]);
  if (story.after) points.push([story.made_in, story.after]);
  if (!points.length) return empty("Nobody has scored this model yet.");
  const series = [
    ["mean", "All held-out images"],
    ["low", "Lowest hospital"],
    ["high", "Highest hospital"],
  ].map(([key, name]) => ({ name, points: points.map(([at, score]) => [at, score[key]]) }));
  return [
    points.length > 1 &&
      lines({
        label: "Accuracy of the model after each round; the table below has the same figures",
        series,
        format: (v) => percent(v, 0),
        across: "after round",
        height: 220,
      }),
    table({
      caption: "Accuracy after each round",
      rows: [...points].reverse(),
      columns: [
        { title: "After", cell: ([at]) => (at ? `Round ${at}` : "Start") },
        { title: "Hospitals", number: true, cell: ([, s]) => count(s.members) },
        { title: "Images", number: true, cell: ([, s]) => count(s.images) },
        { title: "Accuracy", number: true, cell: ([, s]) => percent(s.mean) },
        { title: "Lowest", number: true, cell: ([, s]) => percent(s.low) },
        { title: "Highest", number: true, cell: ([, s]) => percent(s.high) },
      ],
    }),
    !story.after &&
      h("p", { class: "help" }, `The model after round ${story.made_in} is scored as a whole in the next round.`),
  ];
}

const rounds = (story) =>
  table({
    caption: "Finalised rounds",
    rows: [...story.rounds].reverse(),
    columns: [
      { title: "Round", cell: (r) => h("a", { href: `#/rounds/${r.number}` }, `Round ${r.number}`) },
      { title: "Led by", cell: (r) => r.leader, class: "wrap" },
      { title: "Updates", number: true, cell: (r) => count(r.participants.length) },
      {
        title: "Groups",
        number: true,
        cell: (r) => {
          const each = r.groups.length / r.sections;
          const size = (g) => `${g.size}${g.accepted ? "" : " (left out)"}`;
          const section = (_, at) => r.groups.slice(at * each, (at + 1) * each).map(size).join(" + ");
          return Array.from({ length: r.sections }, section).join(" | ");
        },
      },
      {
        title: "Signed by",
        cell: (r) =>
          r.signers >= r.quorum
            ? badge(plural(r.signers, "member"), "good")
            : badge(plural(r.signers, "member"), "warn"),
      },
    ],
  });

function statement(model, text) {
  if (!model.statement) return empty("The first model has no statement: it is drawn from its plan's seed.");
  if (!text) return empty("The statement is not at this node, or what lies there is damaged.");
  const said = text.predicate;
  return [
    h("p", { class: "help" }, "What the members signed (DSSE), as the chain names it by its digest."),
    facts([
      ["Round", count(said.round)],
      ["Updates counted", count(said.updates?.length)],
      ["Groups", count(said.groups?.length)],
      ["Verdicts counted", count(said.verdicts?.length)],
      ["Ledger segment", digest(said.segment)],
      ["Software", said.software],
    ]),
    folded("The whole statement", h("pre", { tabindex: "0" }, JSON.stringify(text, null, 2))),
  ];
}
