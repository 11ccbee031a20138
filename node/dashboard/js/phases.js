/** The phases of a round in their order, and what a member waits for in each (`node.rounds.phases`). */

export const PHASES = [
  ["plan", "Plan", "reads the plan and checks it against this hospital's policy"],
  ["train", "Train", "trains on its own images and seals the update"],
  ["post", "Post", "writes its sealed update into the ledger"],
  ["confirm", "Confirm", "waits until a quorum has confirmed and closed the list of updates"],
  ["propose", "Add sums", "waits for the leader's encrypted sums and adds them again itself"],
  ["open", "Open", "waits for enough members' shares to open the sums"],
  ["score", "Score", "scores the opened sums on held-out images; waits for a quorum of verdicts"],
  ["sign", "Sign", "waits for a quorum of signatures under the outcome"],
  ["finalise", "Finalise", "waits for the chain to record the outcome"],
  ["adopt", "Adopt", "takes the new model into its store"],
];

const NAMES = new Map(PHASES.map(([name, title]) => [name, title]));
const WAITS = new Map(PHASES.map(([name, , waits]) => [name, waits]));

/** The title of a phase. */
export const phaseTitle = (name) => NAMES.get(name) ?? { done: "Done", aborted: "Aborted" }[name] ?? name;

/** What this hospital does or waits for in a phase, as the end of a sentence. */
export const phaseWaits = (name) => WAITS.get(name) ?? null;

/** Where a phase stands in the order; past the end where the round is over. */
export function phaseIndex(name) {
  const at = PHASES.findIndex(([known]) => known === name);
  return at === -1 ? PHASES.length : at;
}

/** The kinds of ledger transactions, with their names. */
export const KINDS = {
  genesis: "Genesis",
  update: "Update",
  acknowledgement: "Acknowledgement",
  proposal: "Proposal",
  share: "Share",
  verdict: "Verdict",
  checkpoint: "Checkpoint",
};
