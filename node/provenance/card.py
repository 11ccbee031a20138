"""A model's card: what it is, what it is for, how it was made and scored, and how to check all of that.

A card is plain sections of plain texts; `card_markdown` and `card_html` write the same one in two forms and escape every text,
since names, classes and versions come from members and may be hostile.
Source: Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.rounds.sections import parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node.provenance.story import Group, RoundStory, Score, Story

NOTICE: Final = "A research model: not a medical device, and no diagnosis."
SELF_DECLARED: Final = (
    "Each member scores on held-out images of its own and declares the result; nobody else sees those images. The figures "
    "are therefore the members' own word, on different images at each of them, and no substitute for an independent test."
)


@dataclass(frozen=True)
class Code:
    """A digest, address or command: shown in fixed width, never broken up."""

    text: str


Cell = str | Code


@dataclass(frozen=True)
class Paragraph:
    """Text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list of texts."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Commands:
    """Lines for a terminal."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows under headings; the first cell of a row names it."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()
    """Columns of figures, which stand to the right."""


@dataclass(frozen=True)
class Curve:
    """Accuracy by round; the table that follows it holds the same figures."""

    points: tuple[tuple[int, Score], ...]


Block = Paragraph | Bullets | Commands | Table | Curve


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Card:
    """A whole card."""

    title: str
    notice: str
    sections: tuple[Section, ...]


def plain(text: str) -> str:
    """A text on one line, with a mark in place of whatever steers a terminal or the direction of writing."""
    return "".join("\ufffd" if unicodedata.category(sign)[0] in "CZ" and sign != " " else sign for sign in text)


def card(story: Story) -> Card:
    """The card of a model."""
    name = "model" if story.plan is None else story.plan.name
    return Card(
        f"Model card: {name}, {story.model[:16]}",
        NOTICE,
        (
            Section("What it is", (_identity(story),)),
            Section("What it is for, and what it is not", (Bullets(tuple(_limits(story))),)),
            Section("Hospitals and their data", tuple(_data(story))),
            Section("Accuracy", tuple(_accuracy(story))),
            Section("Rounds", tuple(_rounds(story))),
            Section("What was kept secret", (Bullets(tuple(_privacy(story))),)),
            Section("Where it came from, and how to check it", tuple(_provenance(story))),
        ),
    )


def _identity(story: Story) -> Table:
    rows: list[tuple[Cell, ...]] = [("Model (sha2-256)", Code(story.model))]
    plan = story.plan
    if plan is not None:
        size = plan.image_size
        rows += [
            ("Task", f"tells {len(plan.classes)} classes of images apart"),
            ("Classes", ", ".join(plan.classes)),
            ("Architecture", plan.architecture),
            ("Images", f"resized to {size} by {size} pixels"),
            ("Training", f"local epochs a round: {plan.epochs}; rounds planned: {plan.rounds}; seed: {plan.seed}"),
        ]
    made = (
        f"round {story.made_in}"
        if story.made_in
        else "none yet: these are the initial parameters, drawn from the plan's seed"
    )
    return Table(
        "The model",
        ("Property", "Value"),
        (
            *rows,
            ("Made in", made),
            ("Consortium", Code(story.consortium)),
            ("Recorded on the chain with id", f"{story.chain_id}"),
            ("By the contract ModelLedger", Code(story.contract)),
            ("Software", ", ".join(dict.fromkeys(r.software for r in story.rounds)) or "none yet"),
        ),
    )


def _limits(story: Story) -> Iterator[str]:
    yield "Made for research on training across hospitals that do not share images."
    yield f"{NOTICE} No authority has approved it, and no clinical study stands behind this card."
    yield "It knows the classes above and nothing else; it answers with one of them whatever it is shown."
    yield "It may fail on scanners, protocols and people that the hospitals' images do not cover; the images are not described here."
    if not story.rounds:
        yield "It has not been trained: its answers mean nothing."


def _data(story: Story) -> Iterator[Block]:
    took = {
        h.account.lower(): [p for r in story.rounds for p in r.participants if p.account == h.account.lower()]
        for h in story.hospitals
    }
    yield Table(
        "Images each hospital declares",
        (
            "Hospital",
            "Registered images",
            "Rounds it took part in",
            "Training images in the last of them",
            "Member now",
        ),
        tuple(
            (
                h.name,
                f"{h.declared:,}",
                f"{len(took[h.account.lower()])}",
                f"{took[h.account.lower()][-1].samples:,}" if took[h.account.lower()] else "none",
                "yes" if h.present else "no",
            )
            for h in story.hospitals
        ),
        frozenset({1, 2, 3}),
    )
    yield Paragraph(
        "All counts are the hospitals' own. Images and labels never left them, so nobody else can count them."
    )


def _accuracy(story: Story) -> Iterator[Block]:
    if not story.curve:
        yield Paragraph("Nobody has scored this model yet.")
        return
    yield Paragraph(SELF_DECLARED)
    yield Curve(story.curve)
    yield Table(
        "Accuracy of the model as it stood after each round",
        ("After round", "Members scoring", "Held-out images", "Accuracy", "Lowest member", "Highest member"),
        tuple((str(number), *_figures(score)) for number, score in story.curve),
        frozenset(range(6)),
    )
    if story.after is None:
        yield Paragraph(
            f"The model after round {story.made_in} has not been scored as a whole: that happens in the next round. "
            "What the members found of each of its groups stands below."
        )


def _figures(score: Score) -> tuple[str, ...]:
    return (f"{score.members}", f"{score.images:,}", *(f"{share:.3f}" for share in (score.mean, score.low, score.high)))


def _rounds(story: Story) -> Iterator[Block]:
    if story.rounds:
        yield Table(
            "Finalised rounds",
            ("Round", "Led by", "Updates", "Groups (updates in each)", "Left out", "Accuracy with each group alone"),
            tuple(_round(r) for r in story.rounds),
            frozenset({0, 2, 4}),
        )
    if any(round_.sections > 1 for round_ in story.rounds):
        yield Paragraph(
            "Where a round has sections, each of these parts of the model was summed in groups of its own, and a group is scored "
            "alone in its section, beside all sums of the others."
        )
    ended = (
        f"{story.aborted} more rounds ended without a model." if story.aborted else "No round ended without a model."
    )
    yield Paragraph(ended)


def _round(story: RoundStory) -> tuple[Cell, ...]:
    return (
        str(story.number),
        story.leader,
        str(len(story.participants)),
        f"{_count(story)} ({_by_section(story, lambda group: str(group.size))})",
        str(sum(not group.accepted for group in story.groups)),
        _by_section(story, lambda group: f"{group.score.mean:.3f}{'' if group.accepted else ' (left out)'}"),
    )


def _count(story: RoundStory) -> str:
    each = len(story.groups) // story.sections
    return str(each) if story.sections == 1 else f"{story.sections} sections of {each}"


def _by_section(story: RoundStory, said: Callable[[Group], str]) -> str:
    return "; ".join(", ".join(map(said, part)) for part in parts(story.groups, story.sections))


def _privacy(story: Story) -> Iterator[str]:
    plan = story.plan
    if plan is not None:
        openers = f"any {plan.threshold} members" if plan.threshold else "two thirds of the members"
        yield (
            f"Updates were encrypted under a joint key (parameter set {plan.parameter_set}); {openers} together "
            "open a sum, nobody alone opens anything."
        )
        if plan.parameter_set == "minimal":
            yield "Warning: parameter set minimal protects nothing. It is for tests."
        if plan.min_group == 1:
            yield "Warning: the plan has groups of one, so members could open single hospitals' updates."
    if story.rounds:
        sizes = [group.size for r in story.rounds for group in r.groups]
        tolerated = min(r.colluders_tolerated for r in story.rounds)
        yield f"The smallest opened sum held {min(sizes)} updates, the largest {max(sizes)}."
        yield f"Single updates stay hidden from up to {tolerated} colluding members of a group, in the round that hides them least."
    yield "Not protected: what can be learnt of training images from the finished model itself. No differential privacy was used."


def _provenance(story: Story) -> Iterator[Block]:
    if story.rounds:
        yield Paragraph(
            "Each round has a statement that names every update, sum, verdict and signature it rests on. The chain holds its digest; a quorum signed it."
        )
        yield Table(
            "Statements",
            ("Round", "Statement (sha2-256)", "Signed envelope (CID)", "Signed by"),
            tuple(
                (
                    str(r.number),
                    Code(r.statement),
                    "not at hand" if r.envelope is None else Code(r.envelope),
                    f"{r.signers} (quorum {r.quorum})",
                )
                for r in story.rounds
            ),
            frozenset({0}),
        )
    yield Paragraph("Anyone with read access to the chain can check this, without any key:")
    yield Commands(
        (
            f"medweave audit model {story.model} --rpc URL --blobs PLACE --contracts consortium.json",
            f"medweave model statement {story.model} --envelope --rpc URL --blobs PLACE --contracts consortium.json",
        )
    )
    yield Paragraph(
        "This card was written from the same sources; it was not checked as an audit checks, and proves nothing by itself."
    )
