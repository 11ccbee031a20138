"""Which plan a hospital goes by, and what it refuses in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from crypto.parameters import parameter_set
from node.images.record import cropping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.config import Rounds
    from node.consortium.view import ConsortiumView
    from node.planning.first import Images
    from node.rounds.plan import Plan

Source = Literal["vote", "file", "round", "withdrawn", "none"]

WORDS: dict[Source, str] = {
    "vote": "in force by the members' vote",
    "file": "this hospital's own plan.toml; the members have decided about none",
    "round": "the newest round's; the members have decided about none, and this hospital has no plan.toml",
    "withdrawn": "none: the members withdrew every plan, so nobody can open a round",
    "none": "none: nothing is decided, there is no plan.toml and no round yet",
}


@dataclass(frozen=True)
class Choice:
    """The plan in force, by its digest."""

    source: Source
    """Where it comes from."""
    digest: bytes | None
    """sha2-256 of its bytes; None where there is none."""

    @property
    def words(self) -> str:
        """Where it comes from, for people."""
        return WORDS[self.source]


def choose(view: ConsortiumView, own: Plan | None) -> Choice:
    """The plan in force: decided by vote; else the own one; else the newest round's.

    Args:
        view: What the chain said so far.
        own: This hospital's `plan.toml`, if there is one.
    """
    if view.plan_decisions:
        return Choice("vote", view.plan) if view.plan is not None else Choice("withdrawn", None)
    if own is not None:
        return Choice("file", own.digest)
    if view.current is not None:
        return Choice("round", view.current.plan)
    return Choice("none", None)


def refusals(
    plan: Plan, rounds: Rounds, members: int, images: Images | None = None, *, allow_minimal: bool = False
) -> Iterator[str]:
    """Why a hospital would take no part in rounds of a plan, a sentence each.

    Args:
        plan: The plan.
        rounds: `[rounds]` of the hospital's configuration.
        members: Hospitals in the consortium.
        images: What its images are; None: not known.
        allow_minimal: Whether the insecure `minimal` parameters are accepted: tests only.
    """
    openers, least = plan.threshold_for(members), rounds.min_threshold or members // 2 + 1
    if plan.min_group < rounds.min_group:
        yield f"min_group is {plan.min_group}, this hospital's [rounds] min_group asks for at least {rounds.min_group}"
    if not least <= openers <= members:
        yield f"{openers} of {members} members would open a sum, this hospital's [rounds] min_threshold asks for {least} to {members}"
    if plan.parameter_set == "minimal" and not allow_minimal:
        yield "parameter_set is minimal, which protects nothing and is for tests"
    if images is None:
        return
    if images.classes != plan.classes:
        yield f"classes are {', '.join(plan.classes)}, this hospital's images have {', '.join(images.classes)}"
    if images.cropped != plan.crop_lungs:
        yield f"slices are to be {cropping(plan.crop_lungs)}, this hospital's are {cropping(images.cropped)}"


def key_serves(view: ConsortiumView, plan: Plan) -> bool:
    """Whether rounds of a plan can be trained under the active key: its members, parameters and openers are those the plan asks for."""
    active = view.epochs.get(view.active_epoch)
    if active is None or not view.fitting:
        return False
    wanted = parameter_set(plan.parameter_set, allow_minimal=True).id
    return active.parameter_set == wanted and active.threshold == plan.threshold_for(len(active.seats))


def fewest_members(plan: Plan) -> int:
    """Members without which no round of the plan can end: a group, and somebody to train with."""
    return max(2, plan.min_group)
