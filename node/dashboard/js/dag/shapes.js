/** A shape a kind of transaction, so that kinds are told apart without colours. */

import { s } from "../dom.js";

const R = 8;
const polygon = (sides, radius, turn = 0) =>
  Array.from({ length: sides }, (_, k) => {
    const angle = turn + (2 * Math.PI * k) / sides - Math.PI / 2;
    return `${(radius * Math.cos(angle)).toFixed(2)},${(radius * Math.sin(angle)).toFixed(2)}`;
  }).join(" ");

const SHAPES = {
  genesis: () => s("polygon", { points: polygon(8, R) }),
  update: () => s("circle", { r: R }),
  acknowledgement: () => s("circle", { r: R * 0.55 }),
  proposal: () => s("polygon", { points: polygon(4, R * 1.25) }),
  share: () => s("polygon", { points: polygon(3, R * 1.2) }),
  verdict: () => s("rect", { x: -R * 0.8, y: -R * 0.8, width: R * 1.6, height: R * 1.6 }),
  checkpoint: () => s("polygon", { points: polygon(6, R * 1.1) }),
};

/** The shape of a kind, centred on (0, 0). */
export function shape(kind) {
  const made = (SHAPES[kind] ?? SHAPES.acknowledgement)();
  made.classList.add("shape");
  return made;
}
