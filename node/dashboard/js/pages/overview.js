/** What this hospital does now, and how the last rounds went. */

import { list } from "../api.js";
import { lines } from "../charts.js";
import { curves } from "../accuracy.js";
import { fill, h } from "../dom.js";
import { capital, clock, count, percent } from "../format.js";
import { badge, card, digest, empty, loaded, notice, page, progress, stat, stats, table } from "../parts.js";
import { PHASES, phaseIndex, phaseTitle, phaseWaits } from "../phases.js";
import { on, refreshStatus, state } from "../state.js";

const SHOWN_WARNINGS = 3;
const LOOK_MS = 15000;

/** The page. */
export async function show({ signal, may }) {
  const status = state.status ?? (await refreshStatus({ signal }));
  const now = h("div", { class: "now" });
  const figures = h("div", {});
  const activity = h("div", {});
  const draw = (fresh) => {
    fill(now, current(fresh, may("GET /v1/rounds/{number}")));
    fill(figures, summary(fresh));
  };
  const happened = () => fill(activity, events(state.activity));
  draw(status);
  happened();
  on("status", draw, signal);
  on("activity", happened, signal);
  const trend = may("GET /v1/verdicts") ? loaded(() => accuracy(signal)) : null;
  const models = loaded(() => lastModels(signal));
  const warnings = loaded(() => attention(signal));
  on(
    "model",
    () => {
      trend?.again();
      models.again();
    },
    signal,
  );
  for (const topic of ["warning", "epoch", "round"]) on(topic, () => warnings.again(), signal);
  const look = setInterval(() => warnings.again(), LOOK_MS);
  signal.addEventListener("abort", () => clearInterval(look));
  return page(
    "Overview",
    `${status.hospital.name}, member ${status.hospital.index + 1} of the consortium`,
    warnings,
    figures,
    now,
    h(
      "div",
      { class: "columns" },
      trend && card("Accuracy by round", { tools: h("a", { href: "#/rounds" }, "All rounds") }, trend),
      card("Last models", { tools: h("a", { href: "#/models" }, "All models") }, models),
    ),
    card("Since this page was opened", {}, activity),
  );
}

function summary(status) {
  return stats(
    stat("Rounds finalised", `${count(status.finalised)}${status.target ? ` of ${count(status.target)}` : ""}`),
    stat("Newest model", digest(status.model, { href: status.model ? `#/models/${status.model}` : null })),
    stat("Transactions", count(status.transactions), "in this hospital's ledger"),
    stat(
      "Key epoch",
      status.epoch.active ?? "none",
      status.epoch.doing || (status.epoch.active ? "active" : "waiting for the members"),
    ),
  );
}

function current(status, allowed) {
  const round = status.round;
  if (!round) {
    return card(
      "Current round",
      { class: "current" },
      empty(
        status.epoch.doing
          ? `No round yet: ${status.epoch.doing}.`
          : "No round is running. The next one begins when a member opens it.",
      ),
    );
  }
  const over = round.phase === "done" || round.phase === "aborted";
  const tools = [
    round.leader && badge("This hospital leads", "busy"),
    badge(phaseTitle(round.phase), over ? (round.phase === "done" ? "good" : "bad") : "busy"),
  ];
  const refused = Object.entries(round.refused ?? {});
  return card(
    `Round ${round.round}`,
    { class: "current", tools },
    stepper(round.phase),
    h("p", { class: "waits" }, sentence(round, over)),
    round.phase === "train" && progress(round.progress, `Training, round ${round.round}`),
    refused.length > 0 &&
      notice(
        "warn",
        h("strong", {}, "Refused by this hospital"),
        h(
          "ul",
          {},
          refused.map(([subject, reason]) => h("li", {}, digest(subject), " ", reason)),
        ),
      ),
    allowed && h("p", {}, h("a", { href: `#/rounds/${round.round}` }, `Everything about round ${round.round}`)),
  );
}

function sentence(round, over) {
  if (round.phase === "aborted") return "The chain aborted this round; the model before it carries over.";
  if (over) return "This round is over. Its model is in this hospital's store.";
  const waits = phaseWaits(round.phase);
  return [h("strong", {}, capital(round.doing)), waits ? `: this hospital ${waits}.` : "."];
}

function stepper(phase) {
  const at = phaseIndex(phase);
  const aborted = phase === "aborted";
  return h(
    "ol",
    { class: "stepper" },
    PHASES.map(([, title], k) => {
      const where = aborted ? "skipped" : k < at ? "over" : k === at ? "now" : "ahead";
      return h(
        "li",
        { class: where, "aria-current": where === "now" ? "step" : null },
        h("span", { class: "step-dot", "aria-hidden": "true" }),
        h("span", {}, title),
        h("span", { class: "unseen" }, { over: " (over)", now: " (now)", ahead: " (to come)", skipped: "" }[where]),
      );
    }),
  );
}

async function attention(signal) {
  const answer = await fetch("/v1/ready", { signal, credentials: "same-origin" }).catch(() => null);
  const ready = await answer?.json().catch(() => null);
  const wrong = (ready?.checks ?? []).filter((check) => !check.ok);
  const heard = [...(state.status?.warnings ?? [])].sort((one, two) => two.time - one.time).slice(0, SHOWN_WARNINGS);
  if (!wrong.length && !heard.length) return [];
  return notice(
    "warn",
    h("strong", {}, "Needs attention"),
    h(
      "ul",
      {},
      wrong.map((check) => h("li", {}, `${capital(check.name)}: ${check.detail}`)),
      heard.map(({ time, text }) => h("li", {}, `${clock(time)} ${text}`)),
    ),
    h("p", {}, h("a", { href: "#/health" }, "Health of this node")),
  );
}

async function accuracy(signal) {
  const series = await curves(signal);
  if (!series.length) return empty("No model has been scored yet. Accuracy appears after the second round.");
  return lines({
    label: "Accuracy of the shared model at each hospital, by round; the figures are on the page of rounds",
    series,
    format: (v) => percent(v, 0),
    across: "after round",
    height: 220,
  });
}

async function lastModels(signal) {
  const { rows } = await list("models", "models", { order: "newest" }, 200, { signal });
  const newest = [...rows].sort((a, b) => b.round - a.round).slice(0, 5);
  return table({
    caption: "The newest models",
    empty: "No model yet.",
    rows: newest,
    columns: [
      { title: "Model", cell: (m) => digest(m.model, { href: `#/models/${m.model}` }) },
      {
        title: "Made in",
        cell: (m) => (m.round ? h("a", { href: `#/rounds/${m.round}` }, `round ${m.round}`) : "start"),
      },
      { title: "Block", number: true, cell: (m) => count(m.block) },
    ],
  });
}

const SAID = {
  phase: (f) => `Round ${f.round}: ${phaseTitle(f.phase)}${f.doing && f.doing !== f.phase ? ` – ${f.doing}` : ""}`,
  round: (f) => `Round ${f.round} ${f.status}`,
  model: (f) => `New model of round ${f.round}`,
  member: (f) => `${f.name}: ${f.change}`,
  epoch: (f) => `Key epoch ${f.epoch}: ${f.state}`,
  warning: (f) => `Warning: ${f.text}`,
};

function events(rows) {
  if (!rows.length) return empty("Nothing has happened since. Phases, models and warnings appear here as they come.");
  return h(
    "ol",
    { class: "activity" },
    rows
      .slice(0, 10)
      .map(({ topic, at, fact }) =>
        h("li", { class: topic }, h("time", {}, clock(at)), h("span", {}, SAID[topic]?.(fact) ?? topic)),
      ),
  );
}
