"""What a plan means for so many hospitals, in numbers and in words: what it costs, what it hides, how long it takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from crypto.parameters import parameter_set
from crypto.sealing import chunk_bytes
from node.planning.timetable import HOUR
from node.rounds.groups import tolerated_colluders
from node.rounds.steps.shape import layout_of, sections_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.rounds.plan import Plan

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Facts:
    """A plan in numbers, for a consortium of so many members that all post."""

    members: int
    """Hospitals, N."""
    openers: int
    """Members that open a sum together, T."""
    parameters: int
    """Trained values of the model."""
    plain_bytes: int
    """One update as float32."""
    upload_bytes: int
    """One update sealed, as each hospital sends it each round."""
    sections: int
    """Parts of the model that are summed in groups of their own, K: the plan's, or one a ciphertext where these are fewer."""
    groups: int
    """Sums opened of each of them each round; 0 where the members are too few for one."""
    smallest_group: int
    """Updates in the smallest sum; 0 where there is none."""
    tolerated_colluders: int
    """Members of a group that may pool what they know without learning another's single update."""
    differential_privacy: None
    """Epsilon of differential privacy: none is applied."""
    collect_seconds: int
    """Longest time from a round's opening until updates no longer count."""
    round_seconds: int
    """Longest time from a round's opening until it is given up."""
    most_seconds: int
    """All planned rounds, each as long as it may take, one after the other."""

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True)
class Explanation:
    """A plan for people."""

    facts: Facts
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    """Heading and sentences."""
    warnings: tuple[str, ...]
    """What an operator must choose knowingly, or mend."""

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        parts = {heading: list(sentences) for heading, sentences in self.parts}
        return {"facts": self.facts.to_json(), "parts": parts, "warnings": list(self.warnings)}


def explain(plan: Plan, members: int) -> Explanation:
    """What a plan means.

    Args:
        plan: The plan.
        members: Hospitals in the consortium, at least 1.

    Raises:
        LearningError: There is no network of that name here.
        CryptoError: There are no such encryption parameters.
    """
    facts = facts_of(plan, members)
    parts = (
        ("learns", _learns(plan)),
        ("costs", _costs(plan, facts)),
        ("hides", _hides(plan, facts)),
        ("takes", _takes(plan, facts)),
        ("opens rounds", tuple(timetable_words(plan))),
    )
    return Explanation(facts, parts, tuple(_warnings(plan, facts)))


def facts_of(plan: Plan, members: int) -> Facts:
    """A plan in numbers; see `explain`."""
    params = parameter_set(plan.parameter_set, allow_minimal=True)
    values = layout_of(plan).size
    groups = members // plan.min_group
    smallest = members // groups if groups else 0
    return Facts(
        members=members,
        openers=plan.threshold_for(members),
        parameters=values,
        plain_bytes=4 * values,
        upload_bytes=params.chunks(values) * chunk_bytes(params),
        sections=len(sections_of(plan, params)),
        groups=groups,
        smallest_group=smallest,
        tolerated_colluders=tolerated_colluders([smallest]),
        differential_privacy=None,
        collect_seconds=plan.collect_seconds,
        round_seconds=plan.round_seconds,
        most_seconds=plan.rounds * plan.round_seconds,
    )


def duration(seconds: float) -> str:
    """A length of time for people: `45 s`, `20 min`, `3 h 20 min`, `2 days 4 h`."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def timetable_words(plan: Plan) -> Iterator[str]:
    """When rounds are opened, a sentence each."""
    if plan.every_hours:
        yield f"A round is opened {plan.every_hours} h after the last one was, by whichever member's turn it is."
    if plan.new_data_from:
        yield f"A round is opened once {plan.new_data_from} hospitals have announced new data since the last one."
    if plan.scheduled:
        hours = plan.open_between.replace("-", " and ")
        yield f"Only between {hours} UTC." if hours else "At any time of day."
        yield f"It ends after {plan.rounds} finalised rounds; `medweave round pause` makes one hospital open none meanwhile."
    else:
        yield "By nobody on its own: `medweave round start`, or a hospital's [rounds] target."


def _learns(plan: Plan) -> tuple[str, ...]:
    return (
        f"A {plan.architecture} that tells {', '.join(plan.classes)} apart, on images of {plan.image_size} x {plan.image_size} pixels.",
        f"{plan.rounds} rounds of {plan.epochs} local epochs, batches of {plan.batch_size}, learning rate up to {plan.learning_rate:f}.",
    )


def _costs(plan: Plan, facts: Facts) -> tuple[str, ...]:
    upload, plain = facts.upload_bytes / MEGABYTE, facts.plain_bytes / MEGABYTE
    return (
        f"Each hospital sends {upload:.1f} MB a round, sealed: {upload / plain:.1f} times the bare {plain:.1f} MB.",
        f"It fetches those of the others to check the sums: {upload * (facts.members - 1):.1f} MB a round.",
        f"{facts.parameters:,} values are trained. {upload * facts.members * plan.rounds:.0f} MB of updates after {plan.rounds} rounds.",
    )


def _hides(plan: Plan, facts: Facts) -> tuple[str, ...]:
    if not facts.groups:
        return (f"Nothing is opened: {_hospitals(facts.members)} cannot fill a group of {plan.min_group}.",)
    return (
        f"Any {facts.openers} of {facts.members} members open a sum together; {facts.openers - 1} cannot open anything.",
        f"If all post, {_sums(facts)} each round, of at least {facts.smallest_group} updates; never of fewer than {plan.min_group}.",
        *_sections(facts),
        f"Single updates stay hidden from up to {facts.tolerated_colluders} colluding members of the same group.",
        "No differential privacy is applied (epsilon: none): the finished model itself may tell something of its training images.",
    )


def _sums(facts: Facts) -> str:
    sums = "1 sum" if facts.groups == 1 else f"{facts.groups} sums"
    if facts.sections > 1:
        return f"{sums} of each of {facts.sections} sections of the model {'is' if facts.groups == 1 else 'are'} opened"
    return f"{sums} {'is' if facts.groups == 1 else 'are'} opened"


def _sections(facts: Facts) -> Iterator[str]:
    if facts.sections > 1:
        yield "Every section has groups of its own, and no value of an update is in two opened sums."


def _takes(plan: Plan, facts: Facts) -> tuple[str, ...]:
    ends = f"It ends as soon as everybody has posted and signed; all {plan.rounds} take"
    if plan.every_hours:
        whole = f"{ends} {duration((plan.rounds - 1) * plan.every_hours * HOUR)} by the timetable."
    else:
        whole = f"{ends} {duration(facts.most_seconds)} at the very most."
    return (
        f"A round waits up to {duration(plan.collect_seconds)} for updates and is given up after {duration(plan.round_seconds)}.",
        whole,
        f"A leader that fails costs {duration(plan.slot_seconds)}, then the next one takes over.",
    )


def _warnings(plan: Plan, facts: Facts) -> Iterator[str]:
    members = facts.members
    if plan.min_group == 1:
        yield "min_group is 1: members may open single hospitals' updates. Choose it knowingly; every report says so."
    elif plan.min_group == 2:
        yield "min_group is 2: in a group of two, each member learns the other's update by taking its own away."
    if not facts.groups:
        yield f"min_group is {plan.min_group}: {_hospitals(members)} cannot end a round. Nothing is opened until there are more."
    elif facts.groups == 1:
        yield f"One group of {members}: if the members refuse it, the round is lost; two groups take {2 * plan.min_group} hospitals."
    if plan.threshold and not members // 2 < plan.threshold <= members:
        yield f"threshold is {plan.threshold}: it has to be more than half of {members} members and no more than all; 0 follows them."
    if facts.sections < plan.sections:
        yield f"sections is {plan.sections}: the model fills {facts.sections} ciphertexts, so it is cut into no more parts."
    if facts.openers == members > 2:
        yield f"All {members} members are needed to open a sum: one that is off stops every round."
    if plan.parameter_set == "minimal":
        yield "parameter_set is minimal: it protects nothing and is for tests."
    if plan.slot_seconds * members > plan.round_seconds - plan.collect_seconds:
        yield "After collecting there is not time for every member to lead once: lengthen round_seconds or shorten slot_seconds."
    if plan.new_data_from > members:
        yield f"new_data_from is {plan.new_data_from}: {_hospitals(members)} never announce that much."
    if plan.every_hours and plan.every_hours * 3600 < plan.round_seconds:
        yield "every_hours is shorter than round_seconds: a slow round delays the next one."


def _hospitals(count: int) -> str:
    return "1 hospital" if count == 1 else f"{count} hospitals"
