/** All rounds: accuracy at each hospital, how long phases took, what was sent and paid; and one round in full. */

import { get, list } from "../api.js";
import { curves } from "../accuracy.js";
import { bars, lines, SERIES } from "../charts.js";
import { fill, h } from "../dom.js";
import { bytes, count, duration, percent } from "../format.js";
import { badge, button, card, digest, empty, folded, loaded, page, status, table } from "../parts.js";
import { phaseTitle } from "../phases.js";
import { on } from "../state.js";
import { one } from "./round.js";

const AT_ONCE = 12;

/** The page, or that of one round: `#/rounds/3`. */
export async function show({ rest, signal, may }) {
  if (rest.length) return one(Number(rest[0]), { signal, may });
  const details = h("div", { class: "stack" });
  const chart = loaded(() => accuracy(signal));
  const load = async (most) => {
    const { rows, more } = await list("rounds", "rounds", { order: "newest" }, most, { signal });
    const newest = rows.sort((a, b) => b.round - a.round);
    const full = await Promise.all(newest.map((row) => get(`rounds/${row.round}`, { signal })));
    if (signal.aborted) return;
    fill(
      details,
      ...costs(full),
      more &&
        h(
          "p",
          {},
          button("Show more rounds", () => load(most * 2)),
        ),
    );
  };
  await load(AT_ONCE);
  const again = () => {
    load(AT_ONCE);
    chart.again();
  };
  on("round", again, signal);
  on("model", again, signal);
  return page(
    "Rounds",
    "How the shared model improved, and what each round cost this hospital.",
    card("Accuracy per hospital and round", {}, chart),
    details,
  );
}

async function accuracy(signal) {
  const series = await curves(signal);
  if (!series.length)
    return empty(
      "No model has been scored yet. Each round scores the model of the round before, so the first figures come with the second round.",
    );
  const numbers = [...new Set(series.flatMap((one_) => one_.points.map(([round]) => round)))].sort((a, b) => a - b);
  const mean = { name: "All held-out images", points: numbers.map((round) => [round, together(series, round)]) };
  const shown = [...series.slice(0, SERIES - 1), mean];
  const hidden = series.length - (SERIES - 1);
  return [
    lines({
      label: "Accuracy per hospital and round; the table below has the same figures",
      series: shown,
      format: (v) => percent(v, 0),
      across: "after round",
    }),
    hidden > 0 &&
      h("p", { class: "help" }, `The chart shows ${SERIES - 1} hospitals; the table has all ${series.length}.`),
    h(
      "p",
      { class: "help" },
      "Every hospital scores on held-out images of its own and declares the result: figures of different hospitals are about different images.",
    ),
    folded(
      "The figures as a table",
      table({
        caption: "Accuracy per hospital and round",
        rows: [...series, mean],
        row: () => ({}),
        columns: [
          { title: "Hospital", cell: (row) => row.name, class: "wrap" },
          ...numbers.map((round) => ({
            title: round ? `Round ${round}` : "Start",
            number: true,
            cell: (row) => percent(row.points.find(([at]) => at === round)?.[1]),
          })),
        ],
      }),
    ),
  ];
}

function together(series, round) {
  let [right, images] = [0, 0];
  for (const { points, samples } of series) {
    const share = points.find(([at]) => at === round)?.[1];
    if (share !== undefined) [right, images] = [right + share * samples.get(round), images + samples.get(round)];
  }
  return right / images;
}

function costs(rounds) {
  if (!rounds.length)
    return [
      card(
        "Rounds",
        {},
        empty("No round yet. The first one begins once the members hold a key together and one of them opens it."),
      ),
    ];
  const oldest = [...rounds].reverse();
  const timed = oldest.filter((round) => round.phases.some((phase) => phase.seconds !== null));
  const names = rounds[0].phases.map((phase) => phase.name);
  const spent = (round) => round.phases.map((phase) => phase.seconds ?? 0);
  const sum = (round) => spent(round).reduce((a, b) => a + b, 0);
  return [
    card(
      "All rounds",
      {},
      table({
        caption: "Rounds, newest first",
        rows: rounds,
        columns: [
          { title: "Round", cell: (r) => h("a", { href: `#/rounds/${r.round}` }, `Round ${r.round}`) },
          { title: "State", cell: (r) => status(r.status) },
          { title: "Led by", cell: (r) => r.leader_name ?? "–", class: "wrap" },
          { title: "Updates", number: true, cell: (r) => `${r.updates.length} of ${r.members}` },
          { title: "Time", number: true, cell: (r) => (sum(r) ? duration(sum(r)) : "–") },
          { title: "Sent", number: true, cell: (r) => bytes(r.bytes.upload + r.bytes.shares) },
          { title: "Gas", number: true, cell: (r) => count(r.gas.total) },
          { title: "Model", cell: (r) => (r.model ? digest(r.model, { href: `#/models/${r.model}` }) : badge("none")) },
        ],
      }),
    ),
    timed.length > 0 &&
      card(
        "Where the time went",
        {},
        bars({
          label: "Seconds per phase and round at this hospital; the table below has the same figures",
          rows: timed.map((r) => ({
            name: `Round ${r.round}`,
            parts: merged(names, spent(r)).map(([, v]) => v),
            total: duration(sum(r)),
          })),
          parts: merged(
            names,
            names.map(() => 0),
          ).map(([name]) => name),
          format: duration,
        }),
        folded(
          "The figures as a table",
          table({
            caption: "Seconds per phase and round, at this hospital",
            rows: timed,
            columns: [
              { title: "Round", cell: (r) => `Round ${r.round}` },
              ...names.map((name, at) => ({
                title: phaseTitle(name),
                number: true,
                cell: (r) => duration(r.phases[at].seconds),
              })),
            ],
          }),
        ),
      ),
    h(
      "div",
      { class: "columns" },
      card(
        "Bytes sent by this hospital",
        {},
        bars({
          label: "Bytes sent per round by this hospital",
          rows: oldest.map((r) => ({ name: `Round ${r.round}`, parts: [r.bytes.upload, r.bytes.shares] })),
          parts: ["Sealed update", "Shares of openings"],
          format: bytes,
        }),
      ),
      card(
        "Gas paid by this hospital",
        {},
        !oldest.some((r) => r.gas.total)
          ? empty("None: other members sent these rounds to the chain.")
          : bars({
              label: "Gas paid per round by this hospital",
              rows: oldest.map((r) => ({
                name: `Round ${r.round}`,
                parts: [r.gas.open, r.gas.propose, r.gas.finalise, r.gas.abort],
              })),
              parts: ["Open", "Propose", "Finalise", "Abort"],
              format: count,
            }),
      ),
    ),
  ];
}

/** Ten phases in eight colours would repeat two: the shortest neighbours are drawn as one. */
function merged(names, values) {
  const [plan, train, post, confirm, propose, open, score, sign, finalise, adopt] = values;
  if (names.length !== 10) return names.map((name, at) => [phaseTitle(name), values[at]]);
  return [
    ["Plan and train", plan + train],
    ["Post", post],
    ["Confirm", confirm],
    ["Add sums", propose],
    ["Open", open],
    ["Score", score],
    ["Sign", sign],
    ["Finalise and adopt", finalise + adopt],
  ];
}
