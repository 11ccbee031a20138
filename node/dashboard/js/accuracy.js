/** Accuracy per hospital and round, from the verdicts in the ledger: each hospital scores on held-out images of its own. */

import { list } from "./api.js";

/** Enough verdicts for the chart; older ones are left out and the chart says so. */
export const MOST_VERDICTS = 4000;

/**
 * One series a hospital, of the model as it stood after each round: the score of a round's base is that of the round before.
 * @param {AbortSignal} signal
 * @returns {Promise<Array<{name: string, seat: number, points: Array<[number, number]>, samples: Map<number, number>}>>}
 */
export async function curves(signal) {
  const { rows } = await list("verdicts", "verdicts", { order: "newest" }, MOST_VERDICTS, { signal });
  const bySeat = new Map();
  for (const verdict of rows) {
    const one = bySeat.get(verdict.seat) ?? {
      name: verdict.hospital,
      seat: verdict.seat,
      points: new Map(),
      samples: new Map(),
    };
    one.points.set(verdict.round - 1, verdict.base_accuracy);
    one.samples.set(verdict.round - 1, verdict.samples);
    bySeat.set(verdict.seat, one);
  }
  return [...bySeat.values()]
    .sort((a, b) => a.seat - b.seat)
    .map((one) => ({ ...one, points: [...one.points].sort(([a], [b]) => a - b) }));
}
