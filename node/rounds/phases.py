"""A round's phases for people: which one a member is in, and how long each took."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.rounds.state import RoundState

PHASES: tuple[tuple[str, Callable[[RoundState], bool]], ...] = (
    ("plan", lambda s: s.plan is not None),
    ("train", lambda s: s.sealed is not None or s.mine_posted),
    ("post", lambda s: s.mine_posted),
    ("confirm", lambda s: s.revealable_at is not None),
    ("propose", lambda s: bool(s.verified)),
    ("open", lambda s: s.scores is not None),
    ("score", lambda s: s.quorum_at is not None),
    ("sign", lambda s: s.sendable_at is not None),
    ("finalise", lambda s: s.ending is not None),
    ("adopt", lambda s: s.adopted),
)
"""(name, whether it is over), in order. Train includes sealing; propose includes recomputing the sums."""

_DOING = {
    "plan": "reading the plan",
    "train": "training",
    "post": "posting",
    "confirm": "confirming",
    "propose": "adding sums",
    "open": "opening sums",
    "score": "scoring",
    "sign": "signing",
    "finalise": "finalising",
    "adopt": "adopting",
}


def phase(state: RoundState) -> str:
    """The first phase that is not over; `done` after the last, `aborted` where the chain aborted the round.

    Once the chain has ended a round only the model is left to adopt: a hospital that came late may never see the rest.
    """
    if state.ending is not None:
        return "aborted" if not state.ending.finalised else "done" if state.adopted else "adopt"
    return next((name for name, over in PHASES if not over(state)), "done")


def describe(state: RoundState) -> str:
    """One short line for a person."""
    name = phase(state)
    members = state.members.count
    match name:
        case "confirm":
            return f"confirming {len(state.confirmed)}/{members} updates"
        case "open":
            needed = state.plan.threshold_for(members) if state.plan else "?"
            return f"opening sums, {len({s.member for s in state.shares})}/{needed} shares"
        case "score":
            return f"scoring, {len({v.issuer for v in state.verdicts})}/{state.members.quorum} verdicts"
        case "sign":
            return f"signing, {len({c.issuer for c in state.checkpoints})}/{state.members.quorum} signatures"
        case _:
            return _DOING.get(name, name)


def phase_told(doing: str) -> str | None:
    """The phase that a line of `describe` is about; None where it is about none."""
    known = {**_DOING, "done": "done", "aborted": "aborted"}
    return next((name for name, words in known.items() if doing.startswith(words)), None)


def finished(state: RoundState) -> frozenset[str]:
    """The names of the phases that are over."""
    return frozenset(name for name, over in PHASES if over(state))
