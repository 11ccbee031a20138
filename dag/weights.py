"""Weights of members' contributions: eq. 19 and 20 of the paper, in whole parts per million.

Source: Kumar et al. 2021, "Blockchain based Privacy-Preserved Federated Learning for Medical Images: A Case Study of
COVID-19 CT Scans". Integers, because every member must recompute the same number from the same declaration.
"""

from __future__ import annotations

from typing import Final

PPM: Final = 1_000_000


def contribution_weight(samples: int, registered_size: int, cap: int, slots: int, max_slots: int) -> int:
    """The weight of one update in parts per million, 1 … 1,000,000 (eq. 19).

    W = (s_i / S) · (|d_i| / D) with s_i the member's slots of S the plan allows, and |d_i| its samples of the D (`cap`)
    that the plan counts at most. `samples` and `registered_size` are both declared by the member itself: the
    registered size bounds what one round can claim, it does not prove that the images exist.

    Args:
        samples: images the member says it trained on in this round, ≥ 1.
        registered_size: data size the member registered on chain, ≥ 1.
        cap: samples that give the full weight, ≥ 1.
        slots: slots of work the member took in this round, 1 … max_slots.
        max_slots: slots the plan allows, ≥ 1.

    Raises:
        ValueError: an argument is out of range.
    """
    if min(samples, registered_size, cap, slots) < 1 or slots > max_slots:
        raise ValueError(
            f"samples {samples}, registered size {registered_size}, cap {cap} and slots {slots} must be ≥ 1, "
            f"and slots at most {max_slots}"
        )
    counted = min(samples, registered_size, cap)
    return max(1, PPM * slots * counted // (max_slots * cap))


def credibility(accuracy_j: int, accuracy_i: int, weight: int, *, paper_literal: bool = False) -> int:
    """How much better transaction j scored than the transaction i it approves, in parts per million (eq. 20).

    The paper prints Acc_j - W, the difference of an accuracy and a contribution weight, which mixes units and makes a
    large hospital less credible. The default is Acc_j - Acc_i, the reading under which the score means something.

    Args:
        accuracy_j: accuracy of the approving transaction's model, 0 … 1,000,000.
        accuracy_i: accuracy of the approved transaction's model, 0 … 1,000,000.
        weight: contribution weight of eq. 19, 1 … 1,000,000; read only if `paper_literal`.
        paper_literal: use the formula as printed.

    Raises:
        ValueError: an argument is out of range.
    """
    if not all(0 <= value <= PPM for value in (accuracy_j, accuracy_i, weight)):
        raise ValueError(f"accuracies {accuracy_j}, {accuracy_i} and weight {weight} must be within 0…{PPM}")
    return accuracy_j - (weight if paper_literal else accuracy_i)
