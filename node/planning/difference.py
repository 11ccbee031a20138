"""What differs between two plans, and what that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from node.rounds.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

CONSEQUENCES: Final[Mapping[str, str]] = {
    "architecture": "another network: the present model cannot be trained on, hospitals will refuse the round",
    "classes": "other classes: the present model cannot be trained on unless their number stays, and every hospital needs such images",
    "image_size": "images are resized otherwise from the next round on",
    "crop_lungs": "every hospital has to take its images in anew, cropped by that network or not at all, before it can train",
    "value_range": "updates are rounded in other steps: the layout's digest changes",
    "parameter_set": "a key of other parameters is needed: once the plan is approved the nodes make it",
    "threshold": "a key that so many members open is needed: once the plan is approved the nodes make it",
    "min_group": "what is hidden changes; a hospital whose [rounds] min_group is higher refuses",
    "collect_seconds": "hospitals have another time to train",
    "round_seconds": "a round is given up after another time",
    "tolerance": "groups that cost accuracy are left out by another measure",
    "defence": "which sums are refused, and which members are left out of them, changes",
    "sections": "who is summed with whom changes: parts of the model have groups of their own",
    "clip_norm": "how far one hospital can move the model changes",
    "every_hours": "rounds are opened at other times",
    "new_data_from": "rounds are opened at other times",
    "open_between": "rounds are opened at other times",
    "pow_bits": "a transaction of the ledger takes another time to make",
}
"""By field, for those whose consequence is not training as such."""


@dataclass(frozen=True)
class Change:
    """One field that differs."""

    field: str
    """Its name."""
    before: Any
    """As JSON has it."""
    after: Any
    """As JSON has it."""
    consequence: str
    """What it changes, for people."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"field": self.field, "before": self.before, "after": self.after, "consequence": self.consequence}


def difference(before: Plan, after: Plan) -> tuple[Change, ...]:
    """The fields in which two plans differ, in the order of a plan's fields."""
    was, will = before.model_dump(mode="json"), after.model_dump(mode="json")
    return tuple(
        Change(name, was[name], will[name], CONSEQUENCES.get(name, "training goes on otherwise"))
        for name in Plan.model_fields
        if was[name] != will[name]
    )
