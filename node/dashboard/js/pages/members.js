/** Who takes part, how each stands, and what is put to their vote. */

import { get, getOr, list } from "../api.js";
import { fill, h } from "../dom.js";
import { count, moment, plural } from "../format.js";
import { badge, card, digest, empty, facts, folded, meter, page, stat, stats, table } from "../parts.js";
import { on, set, state } from "../state.js";

/** The page. */
export async function show({ signal, may }) {
  const box = h("div", { class: "stack" });
  const load = async () => {
    const [consortium, epochs, motions] = await Promise.all([
      get("members?former=true", { signal }),
      get("epochs?limit=500", { signal }),
      may("GET /v1/motions") ? list("motions", "motions", { state: "pending" }, 100, { signal }) : { rows: [] },
    ]);
    const ended = may("GET /v1/motions")
      ? await getOr("motions?state=ended&limit=20", { motions: [] }, { signal })
      : { motions: [] };
    set("members", { ...consortium, members: consortium.members });
    if (!signal.aborted) fill(box, content(consortium, epochs, motions.rows, ended.motions));
  };
  await load();
  for (const topic of ["member", "epoch"]) on(topic, () => load().catch(() => null), signal);
  return page("Members", "Hospitals of this consortium, as the chain registered them.", box);
}

function content({ quorum, members }, epochs, motions, ended) {
  const present = members.filter((one) => one.present !== false);
  const images = present.reduce((sum, one) => sum + one.data_size, 0);
  const active = epochs.epochs.find((one) => one.epoch === epochs.active);
  const me = state.status?.hospital.index;
  return [
    stats(
      stat("Members", count(present.length)),
      stat("Quorum", count(quorum), "decide together"),
      stat("Images declared", count(images)),
      stat(
        "Key epoch",
        active ? count(active.epoch) : "none",
        active ? `any ${active.threshold} of ${active.members} open a sum` : "no key yet",
      ),
    ),
    card(
      "Hospitals",
      {},
      table({
        caption: "Hospitals by seat",
        rows: members,
        columns: [
          {
            title: "Hospital",
            class: "wrap",
            cell: (one) => [
              one.name,
              one.index === me && [" ", badge("this hospital", "busy")],
              one.present === false && [" ", badge("left", "plain")],
            ],
          },
          {
            title: "Reputation",
            cell: (one) =>
              h(
                "span",
                { class: "field" },
                meter(one.reputation / 100, `Reputation ${one.reputation} of 100`),
                h("span", { class: "number" }, count(one.reputation)),
              ),
          },
          { title: "Images", number: true, cell: (one) => count(one.data_size) },
          { title: "Faults on record", cell: (one) => faults(one) },
          { title: "Node", class: "wrap", cell: (one) => h("code", {}, one.url || "–") },
          { title: "Account", cell: (one) => digest(one.account) },
        ],
      }),
    ),
    card(
      "Put to the vote",
      {},
      motions.length ? motions.map((motion) => shown(motion)) : empty("No motion is pending."),
      ended.length > 0 &&
        folded(
          `Ended (${count(ended.length)})`,
          table({
            caption: "Motions that ended, newest first",
            rows: ended,
            columns: [
              { title: "Motion", cell: (one) => one.kind },
              { title: "How it ended", class: "wrap", cell: (one) => one.ended || "–" },
              { title: "Signed by", number: true, cell: (one) => plural(one.signers.length, "member") },
            ],
          }),
        ),
    ),
    card(
      "Key epochs",
      {},
      table({
        caption: "Key epochs, newest first",
        empty: "No key ceremony yet.",
        rows: [...epochs.epochs].reverse(),
        columns: [
          { title: "Epoch", cell: (one) => count(one.epoch) },
          {
            title: "State",
            cell: (one) => badge(one.state, { active: "good", running: "busy", aborted: "bad" }[one.state]),
          },
          { title: "Holders", number: true, cell: (one) => count(one.members) },
          { title: "Needed to open", number: true, cell: (one) => count(one.threshold) },
          { title: "Refreshed", number: true, cell: (one) => `${count(one.generation)} ×` },
          { title: "Joint key", cell: (one) => digest(one.joint_key) },
        ],
      }),
    ),
  ];
}

function faults({ faults: found }) {
  if (!found?.length) return h("span", { class: "lead" }, "none");
  return h(
    "ul",
    { class: "plain" },
    found.map((one) => h("li", {}, badge(one.fault.toLowerCase().replaceAll("_", " "), "bad"), ` round ${one.round}`)),
  );
}

function shown(motion) {
  const enough = motion.signers.length >= motion.quorum;
  return h(
    "article",
    { class: "motion" },
    h(
      "h3",
      {},
      motion.kind,
      " ",
      badge(`${motion.signers.length} of ${motion.quorum} signatures`, enough ? "good" : "busy"),
    ),
    facts([
      ...Object.entries(motion.vote).map(([name, value]) => [
        name.replaceAll("_", " "),
        typeof value === "string" && /^(0x)?[0-9a-f]{40,}$/i.test(value) ? digest(value) : String(value),
      ]),
      ["Signed by", motion.signers.map((one) => one.name ?? one.account).join(", ") || "nobody yet"],
      ["May be carried out until", motion.deadline ? moment(motion.deadline) : null],
      ["Id", digest(motion.id)],
    ]),
  );
}
