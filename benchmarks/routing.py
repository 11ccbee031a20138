"""The capsule layer's forward and backward pass, held against the same arithmetic written one capsule at a time.

    python -m benchmarks.routing [--batch B] [--threads N] [--json F] [--repeats N]

The peer is what a reader of the paper writes first: a loop over children and parents, each vote a matrix product of its
own, each coupling a number. It gives the same parents and the same gradients, which is checked before the clock starts.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import torch

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target
from node.learning.routing import ITERATIONS, route, squash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

BATCH: Final = 16
"""Images a step, as a plan has it."""
FASTER: Final = 3.0
"""How often the loops' speed is promised."""
TABLE: Final = "capsule layer, forward and backward"
TOLERANCE: Final = 1e-4
"""Largest relative difference of the two that counts as the same."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A capsule layer's sizes."""

    name: str
    children: int
    """I."""
    inputs: int
    """D_in."""
    parents: int
    """J."""
    outputs: int
    """D_out."""


SHAPES: Final = (
    Shape("capsnet, 2 classes", 16, 8, 2, 16),
    Shape("capsnet, 5 classes", 16, 8, 5, 16),
    Shape("Sabour's digits, types pooled", 32, 8, 10, 16),
)


def tensors(shape: Shape, batch: int) -> tuple[Tensor, Tensor]:
    """Children ``[B, I, D_in]`` and matrices ``[I, J, D_in, D_out]`` as a network has them, both wanting a gradient."""
    generator = torch.Generator().manual_seed(1)
    children = torch.randn(batch, shape.children, shape.inputs, generator=generator) / shape.inputs**0.5
    matrices = torch.randn(shape.children, shape.parents, shape.inputs, shape.outputs, generator=generator)
    return children.requires_grad_(), (matrices / (shape.children * shape.inputs) ** 0.5).requires_grad_()


def whole(children: Tensor, matrices: Tensor) -> Tensor:
    """Every vote at once and the package's routing: parents ``[B, J, D_out]``."""
    return route(torch.einsum("bic,ijcd->bijd", children, matrices), ITERATIONS)


def looped(children: Tensor, matrices: Tensor) -> Tensor:
    """The same with a loop over children and parents: parents ``[B, J, D_out]``."""
    I, J = matrices.shape[:2]  # noqa: E741
    votes = [[children[:, i] @ matrices[i, j] for j in range(J)] for i in range(I)]
    logits = [[children.new_zeros(children.shape[0]) for _ in range(J)] for _ in range(I)]
    for step in range(ITERATIONS):
        coupling = [torch.softmax(torch.stack(row, dim=1), dim=1) for row in logits]
        parents = []
        for j in range(J):
            total = torch.zeros_like(votes[0][j])
            for i in range(I):
                total = total + coupling[i][:, j, None] * votes[i][j]
            parents.append(squash(total))
        if step < ITERATIONS - 1:
            for i in range(I):
                for j in range(J):
                    logits[i][j] = logits[i][j] + (votes[i][j] * parents[j]).sum(dim=1)
    return torch.stack(parents, dim=1)


def seconds(layer: Callable[[Tensor, Tensor], Tensor], children: Tensor, matrices: Tensor) -> float:
    """One forward and backward pass."""
    children.grad = matrices.grad = None
    started = time.perf_counter()
    layer(children, matrices).square().sum().backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - started


def verify_same(children: Tensor, matrices: Tensor) -> None:
    """Both layers give the same parents and gradients.

    Raises:
        NotMeasured: They do not: a ratio of their times would compare nothing.
    """
    found = []
    for layer in (whole, looped):
        children.grad = matrices.grad = None
        parents = layer(children, matrices)
        parents.square().sum().backward()  # type: ignore[no-untyped-call]
        found.append([parents.detach(), children.grad, matrices.grad])
    for ours, theirs in zip(*found, strict=True):
        if ours is None or theirs is None or not torch.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE):
            raise NotMeasured("the loops and the package's routing disagree: there is nothing to compare")


def compare(shape: Shape, batch: int, repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of the package's passes and of the loops', in turn."""
    children, matrices = tensors(shape, batch)
    verify_same(children, matrices)  # also the warm-up
    pairs = [
        (
            min(seconds(whole, children, matrices) for _ in range(3)),
            min(seconds(looped, children, matrices) for _ in range(3)),
        )
        for _ in range(repeats)
    ]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


def result(times: Sequence[tuple[str, list[float], list[float]]], batch: int) -> Result:
    """Rows and promises of the times by layer."""
    rows, targets = [], []
    for name, ours, theirs in times:
        ratio = harness.median(slow / fast for fast, slow in zip(ours, theirs, strict=True))
        figures = {
            "ours ms": 1000 * harness.median(ours),
            "loops ms": 1000 * harness.median(theirs),
            "ours images/s": round(batch / harness.median(ours)),
            "loops images/s": round(batch / harness.median(theirs)),
            "faster_ratio": ratio,
        }
        rows.append(Row(TABLE, name, figures))
        targets.append(Target(f"{name}: faster than loops", ratio, "x", ">=", FASTER))
    return Result(
        tuple(rows), tuple(targets), (f"{batch} images a step; medians, the ratio's over neighbouring passes.",)
    )


def measure(batch: int, threads: int, repeats: int) -> Result:
    """Every shape in turn."""
    torch.set_num_threads(threads)
    return result([(shape.name, *compare(shape, batch, repeats)) for shape in SHAPES], batch)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; see the module's docstring."""
    parser = harness.parser(__doc__ or "", repeats=15)
    parser.add_argument("--batch", type=int, default=BATCH, metavar="B", help=f"images a step, default {BATCH}")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default 1")
    options = parser.parse_args(arguments)
    return harness.run(partial(measure, options.batch, options.threads, options.repeats), options.json)


if __name__ == "__main__":
    sys.exit(main())
