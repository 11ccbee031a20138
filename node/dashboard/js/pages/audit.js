/** An audit of a model, run by this node in a process of its own: asked for here, followed, and shown check by check. */

import { get, request } from "../api.js";
import { fill, h } from "../dom.js";
import { capital, count, duration, moment, plural } from "../format.js";
import { badge, button, digest, facts, folded, notice, progress } from "../parts.js";

const POLL_MS = 700;
const VERDICTS = {
  verified: ["good", "Verified"],
  falsified: ["bad", "Falsified"],
  "could-not-check": ["warn", "Could not be checked"],
};
const SIGNS = {
  ok: ["ok", "✓", "Holds"],
  falsified: ["bad", "✗", "Falsified"],
  unchecked: ["open", "?", "Not checked"],
};

/**
 * The box of a model's audit.
 * @param {Object} model As `/v1/models/{model}` gives it.
 * @param {AbortSignal} signal Ends following it; the audit itself goes on.
 */
export function audit(model, signal) {
  const box = h("div", {});
  const go = button("Run the audit", begin, { class: "primary" });

  async function begin() {
    go.disabled = true;
    try {
      const answer = await request("audits", { method: "POST", json: { model: model.model }, signal });
      await followed((await answer.json()).number);
    } catch (error) {
      if (error.name !== "AbortError")
        fill(
          box,
          notice("bad", h("strong", {}, error.title ?? "Not started"), h("p", { role: "alert" }, error.message)),
        );
    } finally {
      go.disabled = false;
      go.textContent = "Run it again";
    }
  }

  async function followed(number) {
    for (;;) {
      const now = await get(`audits/${number}`, { signal });
      fill(box, now.state === "done" ? report(now) : now.state === "failed" ? failed(now) : underWay(now));
      if (now.state === "done" || now.state === "failed") return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      if (signal.aborted) return;
    }
  }

  get("audits", { signal })
    .then(({ audits }) => {
      const known = audits.find((one) => one.model === model.model && one.round === null && one.state !== "failed");
      if (known) {
        go.disabled = true;
        followed(known.number)
          .catch(() => null)
          .finally(() => {
            go.disabled = false;
            go.textContent = "Run it again";
          });
      }
    })
    .catch(() => null);

  return [
    h(
      "p",
      { class: "help" },
      "Checks from the chain and this hospital's blobs alone, without any key, that every round that led to this model went by the rules: who took part, what was added, who signed.",
    ),
    h("div", { class: "tools" }, go),
    box,
  ];
}

const underWay = (now) =>
  h(
    "div",
    { role: "status" },
    progress(now.share, "Audit"),
    h(
      "p",
      { class: "help" },
      now.state === "waiting"
        ? "Waiting for another audit to end."
        : `${capital(now.doing || "reading the chain")} (${Math.round(100 * now.share)} %)`,
    ),
  );

const failed = (now) =>
  notice(
    "bad",
    h("strong", {}, "The audit could not be carried out"),
    h("p", { role: "alert" }, now.problem),
    h("p", {}, "This says nothing about the model."),
  );

function report({ report: found, claims, asked, ended }) {
  const [tone, words] = VERDICTS[found.verdict] ?? ["plain", found.verdict];
  const links = Object.entries(claims)
    .map(([link, claim]) => ({ link, claim, findings: found.findings.filter((one) => one.link === link) }))
    .filter((one) => one.findings.length);
  return [
    h(
      "p",
      { class: "verdict", role: "status" },
      badge(words, tone),
      `${plural(found.findings.length, "finding")} over ${plural(found.rounds.length, "round")}, ${moment(ended)}, ${duration(ended - asked)}`,
    ),
    h("ul", { class: "checks", "aria-label": "Checks of the audit" }, links.map(check)),
    found.notes.length > 0 &&
      folded(
        `Notes (${found.notes.length})`,
        h(
          "ul",
          {},
          found.notes.map((note) => h("li", {}, note)),
        ),
      ),
    folded(
      "What nobody outside can verify",
      h(
        "ul",
        {},
        found.not_verifiable_from_outside.map((limit) => h("li", {}, limit)),
      ),
    ),
    folded(`All findings (${count(found.findings.length)})`, h("ul", { class: "checks" }, found.findings.map(finding))),
  ];
}

function worst(findings) {
  return (
    ["falsified", "unchecked", "ok"].find((status) => findings.some((one) => one.status === status)) ?? "unchecked"
  );
}

const sign = (status) => {
  const [look, letter, words] = SIGNS[status];
  return [h("span", { class: `sign ${look}`, "aria-hidden": "true" }, letter), words];
};

function check({ link, claim, findings }) {
  const status = worst(findings);
  const [mark, words] = sign(status);
  const wrong = findings.filter((one) => one.status !== "ok");
  return h(
    "li",
    { "data-link": link },
    mark,
    h("span", { class: "name" }, capital(link)),
    h("p", {}, h("span", { class: "unseen" }, `${words}: `), `${capital(claim)}.`),
    wrong.length > 0 &&
      h(
        "ul",
        {},
        wrong.map((one) =>
          h(
            "li",
            {},
            one.round !== null && `Round ${one.round}: `,
            one.subject && [digest(one.subject), " "],
            one.detail,
          ),
        ),
      ),
  );
}

function finding(one) {
  const [mark, words] = sign(one.status);
  return h(
    "li",
    {},
    mark,
    h("span", { class: "name" }, capital(one.link)),
    h(
      "div",
      {},
      h("span", { class: "unseen" }, `${words}: `),
      facts([
        ["Round", one.round === null ? "all" : count(one.round)],
        ["Found", one.detail],
        ["About", one.subject ? digest(one.subject) : null],
      ]),
    ),
  );
}
