"""`--check-plaintext`: does sealing change anything? Add the same quantised updates in the clear and compare hashes.

Only where the user asks for it: each hospital then keeps its quantised updates in the clear in its own directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto.parameters import parameter_set
from node.errors import RoundProblem
from node.learning.layouts import model_bytes
from node.learning.modelfile import model_hash, parse_model
from node.rounds.decision import sectioned_model
from node.rounds.sections import parts
from node.rounds.steps.models import genesis_model
from node.rounds.steps.shape import sections_of, steps_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from node.rounds.plan import Plan


def check(
    plan: Plan, statements: Sequence[Mapping[str, Any]], homes: Mapping[str, Path], *, allow_minimal: bool = False
) -> str:
    """Recompute every round's model from the quantised updates and compare with what was finalised.

    Args:
        plan: The plan of all rounds.
        statements: The finalised rounds' statements, oldest first.
        homes: Hospital directory by lower-case account.
        allow_minimal: Accept the `minimal` parameters: tests only.

    Returns:
        One line that says how many rounds agree.

    Raises:
        RoundProblem: A model differs, or an update in the clear is missing.
    """
    vector = parse_model(genesis_model(plan)).vector
    params = parameter_set(plan.parameter_set, allow_minimal=allow_minimal)
    steps, sections = steps_of(plan, params, len(homes)), sections_of(plan, params)
    for statement in statements:
        predicate = statement["predicate"]
        sums, weights, accepted = [], [], []
        for section, groups in zip(sections, parts(predicate["groups"], len(sections)), strict=True):
            for group in groups:
                members = [predicate["updates"][i] for i in group["updates"]] if group["accepted"] else []
                sums.append(sum(_update(homes, m["issuer"], predicate["round"])[section.values] for m in members))
                weights.append(sum(m["weight_ppm"] for m in members))
                accepted.append(group["accepted"])
        vector = sectioned_model(vector, sums, weights, accepted, steps, sections)
        found = model_hash(model_bytes(vector, plan.architecture, len(plan.classes))).hex()
        if found != predicate["model"]["sha256"]:
            raise RoundProblem(
                f"round {predicate['round']}: added in the clear the updates give model {found[:16]}…, "
                f"finalised was {predicate['model']['sha256'][:16]}…"
            )
    return f"{len(statements)} rounds: the finalised models equal the updates added in the clear, bit for bit"


def _update(homes: Mapping[str, Path], account: str, number: int) -> Any:
    path = homes[account] / "debug" / f"round-{number}.npy"
    try:
        return np.load(path, allow_pickle=False)
    except OSError:
        raise RoundProblem(f"{path}: the quantised update was not kept") from None
