/**
 * Where transactions stand in the drawing: a lane a hospital, to the right of whatever they approve. No two share a place,
 * and every line leads to the left.
 */

export const STEP = 30;
export const LANE = 72;
export const LEFT = 40;
export const TOP = 44;

/**
 * Places of a window of the ledger.
 * @param {Object[]} rows Transactions in the order the node attached them (parents before children).
 * @returns {{nodes: Object[], byId: Map<string, Object>, edges: Array<[Object, Object]>, lanes: string[], rounds: Array<{round: number, x: number}>,
 *   width: number, height: number}} A node has x, y, lane, `parents` and `children` (nodes of the window), and `outside`: how many
 *   of its parents lie before the window.
 */
export function layout(rows) {
  const lanes = laneNames(rows);
  const laneAt = new Map(lanes.map((name, at) => [name, at]));
  const free = new Map();
  const byId = new Map();
  const edges = [];
  const rounds = [];
  for (const tx of rows) {
    const lane = laneAt.get(laneOf(tx));
    const parents = [...new Set(tx.parents)].map((id) => byId.get(id)).filter(Boolean);
    const column = Math.max(free.get(lane) ?? 0, ...parents.map((parent) => parent.column + 1), 0);
    free.set(lane, column + 1);
    const node = {
      tx,
      column,
      lane,
      x: LEFT + column * STEP,
      y: TOP + lane * LANE + LANE / 2,
      parents,
      children: [],
      outside: new Set(tx.parents).size - parents.length,
    };
    byId.set(tx.id, node);
    for (const parent of parents) {
      parent.children.push(node);
      edges.push([node, parent]);
    }
    if (rounds.at(-1)?.round !== tx.round && !rounds.some((one) => one.round === tx.round))
      rounds.push({ round: tx.round, x: node.x });
  }
  const nodes = [...byId.values()];
  const width = LEFT * 2 + Math.max(0, ...nodes.map((node) => node.column)) * STEP;
  return { nodes, byId, edges, lanes, rounds, width, height: TOP + lanes.length * LANE + 12 };
}

function laneOf(tx) {
  return tx.hospital ?? tx.issuer ?? "Start of the ledger";
}

/** By seat, so that a hospital keeps its lane from window to window. */
function laneNames(rows) {
  const seats = new Map();
  for (const tx of rows) seats.set(laneOf(tx), Math.min(seats.get(laneOf(tx)) ?? Infinity, tx.seat ?? Infinity));
  return [...seats].sort(([a, one], [b, two]) => one - two || a.localeCompare(b)).map(([name]) => name);
}

/** The nearest node in a direction, for the arrow keys: left an approved one, right an approving one, up and down a lane. */
export function neighbour(node, key, graph) {
  const near = (nodes) =>
    nodes.reduce(
      (best, one) => (best === null || Math.abs(one.x - node.x) < Math.abs(best.x - node.x) ? one : best),
      null,
    );
  if (key === "ArrowLeft") return near(node.parents);
  if (key === "ArrowRight") return near(node.children);
  const up = key === "ArrowUp";
  const lanes = [...new Set(graph.nodes.map((one) => one.lane))].sort((a, b) => a - b);
  const lane = lanes[lanes.indexOf(node.lane) + (up ? -1 : 1)];
  return lane === undefined ? null : near(graph.nodes.filter((one) => one.lane === lane));
}
