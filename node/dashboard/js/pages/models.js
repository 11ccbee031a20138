/** The lineage of models; and one of them: statement, card, audit. */

import { list } from "../api.js";
import { lineage } from "../lineage.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { badge, card, digest, empty, loaded, page, table } from "../parts.js";
import { on } from "../state.js";
import { one } from "./model.js";

/** The page, or that of one model: `#/models/HASH`. */
export async function show({ rest, signal, may }) {
  if (rest.length) return one(rest[0], { signal, may });
  const box = loaded(() => all(signal));
  on("model", () => box.again(), signal);
  return page("Models", "Each model follows from the one before by a round that the members signed.", box);
}

async function all(signal) {
  const { rows: newestFirst } = await list("models", "models", { order: "newest" }, 1000, { signal });
  const rows = newestFirst.reverse();
  if (!rows.length)
    return card("Lineage", {}, empty("No model yet. The first one is recorded when the first round is opened."));
  const newest = rows.find((m) => m.newest)?.model ?? rows.at(-1).model;
  return h(
    "div",
    { class: "stack" },
    card("Lineage", {}, lineage(rows, { newest })),
    card(
      "All models",
      {},
      table({
        caption: "Models, newest first",
        rows: [...rows].reverse(),
        columns: [
          { title: "Model", cell: (m) => digest(m.model, { href: `#/models/${m.model}` }) },
          {
            title: "Made in",
            cell: (m) => (m.round ? h("a", { href: `#/rounds/${m.round}` }, `Round ${m.round}`) : "Start"),
          },
          { title: "From", cell: (m) => (m.parent ? digest(m.parent, { href: `#/models/${m.parent}` }) : "–") },
          { title: "Block", number: true, cell: (m) => count(m.block) },
          {
            title: "Here",
            cell: (m) => [m.model === newest && badge("newest", "busy"), " ", m.held ? badge("held", "good") : null],
          },
        ],
      }),
    ),
  );
}
