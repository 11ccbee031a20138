"""Golden vectors of squash, routing and the margin loss: Python's floats make them, the package's tensors must agree.

``python -m tests.learning.vectors`` writes tests/vectors/learning/capsules.json anew.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.learning import slow_capsules as slow

FILE = Path(__file__).parents[1] / "vectors" / "learning" / "capsules.json"
DIGITS = 12
CASES = (  # children, parents, dimensions, iterations
    (1, 2, 1, 1),
    (3, 2, 4, 1),
    (3, 2, 4, 3),
    (8, 5, 6, 2),
    (16, 2, 16, 3),
    (32, 3, 8, 4),
)


def numbers(label: str, count: int) -> list[float]:
    """Numbers from -2 to 2 in thousandths that anybody can recompute: SHAKE256, 8 bytes each."""
    data = hashlib.shake_256(f"medweave/vector/capsules/{label}".encode()).digest(8 * count)
    return [(int.from_bytes(data[i : i + 8], "little") % 4001 - 2000) / 1000 for i in range(0, len(data), 8)]


def rounded(vectors: list[list[float]]) -> list[list[float]]:
    return [[round(x, DIGITS) for x in vector] for vector in vectors]


def shaped(flat: list[float], children: int, parents: int, dimensions: int) -> list[list[list[float]]]:
    step = parents * dimensions
    rows = [flat[i * step : (i + 1) * step] for i in range(children)]
    return [[row[j * dimensions : (j + 1) * dimensions] for j in range(parents)] for row in rows]


def make() -> dict[str, Any]:
    vectors = [[0.0, 0.0], [0.3, 0.4], *([numbers(f"squash {d}", d) for d in (1, 2, 8, 16)])]
    routings = []
    for number, (children, parents, dimensions, iterations) in enumerate(CASES):
        votes = shaped(numbers(f"votes {number}", children * parents * dimensions), children, parents, dimensions)
        found = rounded(slow.route(votes, iterations))
        routings.append({"votes": votes, "iterations": iterations, "parents": found})
    lengths = [[abs(x) / 2 for x in numbers(f"lengths {j}", j)] for j in (2, 3, 7)]
    return {
        "squash": [{"vector": vector, "squashed": rounded([slow.squash(vector)])[0]} for vector in vectors],
        "routing": routings,
        "margin_loss": [
            {"lengths": row, "label": label, "loss": round(slow.margin_loss(row, label), DIGITS)}
            for row in lengths
            for label in (0, len(row) - 1)
        ],
    }


def load() -> dict[str, Any]:
    return json.loads(FILE.read_text())


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(make(), indent=1) + "\n")
