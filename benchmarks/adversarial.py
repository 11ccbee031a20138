"""A federation of which some members lie, in this process: what `attacks` measures.

Updates, quantising, groups, scores, alignments, decisions and suspicion are the product's own functions; ciphertexts, chain,
ledger and processes are left out. Sealing changes no bit of a sum (`tests/flow/test_simulation.py::test_sealing_changes_nothing`),
so neither do they change a figure here.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.federation import VALUE_RANGE, weights_of
from benchmarks.plaintext import AGGREGATORS
from crypto.parameters import STANDARD
from dag.bodies import VerdictBody
from node.attacks.poison import poisoned_images, poisoned_update, told_pointing, told_scores, with_patch
from node.images.dataset import concatenate
from node.images.partition import split_validation
from node.learning.clipping import clip_parts
from node.learning.descent import descent
from node.learning.metrics import measure, predict
from node.learning.parameters import initial
from node.learning.settings import derive_seed
from node.learning.training import train
from node.rounds.decision import (
    PPM,
    acceptable,
    accepted_groups,
    alignment,
    midway,
    sectioned_model,
    too_long,
    without_own,
)
from node.rounds.groups import draw_partitions
from node.rounds.history import group_result
from node.rounds.sections import cut
from node.rounds.state import Verdict
from node.rounds.suspicion import RoundResult, excluded, rests
from node.sealing.quantising import QuantisedUpdate, plan_layout, step_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from node.attacks.spec import Attack
    from node.images.record import Dataset
    from node.learning.settings import TrainingSettings
    from node.rounds.sections import Section

UNDEFENDED, VOTES, OURS, WITHOUT = "no defence", "votes alone", "this", "without them"
"""All updates in one sum; groups, and votes on them; and suspicion beside them; one sum of the honest updates alone."""
HELD: Final = 0.2
"""Share of each hospital's images that its verdicts rest on."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What all arms of one comparison share."""

    hospitals: tuple[Dataset, ...]
    """Each hospital's images, those held out for verdicts included."""
    test: Dataset
    settings: TrainingSettings
    rounds: int
    min_group: int
    clip_norm: float
    tolerance: float
    sections: int
    """Of the parameters, wherever sums are judged; fewer where there are fewer ciphertexts."""


@dataclass(slots=True)
class Played:
    """What became of one run."""

    aucs: list[float] = field(default_factory=list)
    """On the test images, after each round."""
    left_out: list[frozenset[int]] = field(default_factory=list)
    """Per round, the seats whose updates were listed and not summed for suspicion."""
    refused: list[int] = field(default_factory=list)
    """Per round, how many groups did not enter the model."""
    fooled: float = 0.0
    """Share of the test images of other classes that the last model calls the backdoor's once they bear its patch."""

    def isolated(self, seat: int) -> int | None:
        """After how many rounds a member was first left out; None if it never was."""
        return next((number for number, out in enumerate(self.left_out) if seat in out), None)


def play(scene: Scene, attack: Attack | None, arm: str) -> Played:
    """Run all rounds.

    Args:
        scene: Images, settings, plan.
        attack: Who lies, and how; None for nobody.
        arm: `UNDEFENDED`, `VOTES`, `OURS`, or a name in `AGGREGATORS`.
    """
    return _Federation(scene, attack, arm).run()


class _Federation:
    def __init__(self, scene: Scene, attack: Attack | None, arm: str) -> None:
        self._scene, self._attack, self._arm = scene, attack, arm
        self._members = len(scene.hospitals)
        self._quorum = -(-2 * self._members // 3)
        self._liars = attack.seats if attack else frozenset()
        parts = [split_validation(part, HELD, scene.settings.seed) for part in scene.hospitals]
        self._train = [
            poisoned_images(attack, part) if attack and seat in self._liars else part
            for seat, (part, _) in enumerate(parts)
        ]
        self._own = [concatenate([part, held], "its own") for part, (_, held) in zip(self._train, parts, strict=True)]
        self._held = concatenate([held for _, held in parts], "held out")
        self._cuts = np.cumsum([len(held) for _, held in parts])[:-1]
        self._weights = weights_of([len(part) for part in self._train])
        layout = plan_layout(scene.settings.architecture, scene.settings.classes, VALUE_RANGE)
        self._layout, self._limit = layout, STANDARD.value_limit(self._members)
        self._steps = step_sizes(layout, STANDARD, self._members)
        wanted = scene.sections if arm in {VOTES, OURS} else 1
        self._sections = cut(layout.size, STANDARD.values_per_chunk, wanted)
        self._first: dict[int, NDArray[np.float32]] = {}
        self._history: list[RoundResult] = []
        self._played = Played()

    def run(self) -> Played:
        scene = self._scene
        model = initial(scene.settings.architecture, scene.settings.classes, scene.settings.seed)
        for number in range(scene.rounds):
            model = self._round(model, [self._update(model, number, seat) for seat in range(self._members)], number)
            answers = predict(model, scene.test, scene.settings)
            self._played.aucs.append(measure(answers, np.asarray(scene.test.labels)).auc or 0.0)
        self._played.fooled = self._fooled(model)
        return self._played

    def _update(self, model: NDArray[np.float32], number: int, seat: int) -> NDArray[np.float32]:
        settings = self._scene.settings.for_round(number, self._scene.rounds, seat)
        result = train(model, self._train[seat], settings)
        parts = [section.values for section in self._sections]
        delta, _ = clip_parts(result.vector - model, self._scene.clip_norm, parts)
        if self._attack and seat in self._liars:
            delta = poisoned_update(self._attack, delta, self._first.get(seat), number, seat)
            self._first.setdefault(seat, delta)
        return delta

    def _round(
        self, model: NDArray[np.float32], deltas: Sequence[NDArray[np.float32]], number: int
    ) -> NDArray[np.float32]:
        if self._arm in AGGREGATORS:
            step = AGGREGATORS[self._arm](np.stack(deltas), np.array(self._weights), len(self._liars))
            return (model + step).astype(np.float32)
        sent = [self._quantised(delta, number, seat) for seat, delta in enumerate(deltas)]
        groups = self._groups(number)
        totals = [
            np.sum([sent[seat][section.values] for seat in group], axis=0)
            for section, group in zip(self._section_of(groups), groups, strict=True)
        ]
        weights = [sum(self._weights[seat] for seat in group) for group in groups]
        accepted = tuple(True for _ in groups)
        if self._arm in {VOTES, OURS}:
            accepted = self._judged(model, deltas, groups, totals, weights)
        self._played.refused.append(len(groups) - sum(accepted))
        return self._stepped(model, totals, weights, accepted)

    def _section_of(self, groups: Sequence[object]) -> list[Section]:
        """Of each group its section."""
        each = len(groups) // len(self._sections)
        return [section for section in self._sections for _ in range(each)]

    def _stepped(
        self,
        model: NDArray[np.float32],
        totals: Sequence[NDArray[np.int64]],
        weights: Sequence[int],
        accepted: Sequence[bool],
    ) -> NDArray[np.float32]:
        return sectioned_model(model, totals, weights, accepted, self._steps, self._sections)

    def _groups(self, number: int) -> tuple[tuple[int, ...], ...]:
        everybody = frozenset(range(self._members))
        if self._arm in {UNDEFENDED, WITHOUT}:
            return (tuple(sorted(everybody - (self._liars if self._arm == WITHOUT else frozenset()))),)
        seed = hashlib.sha256(f"{self._scene.settings.seed}/{number}".encode()).digest()
        suspects = frozenset[int]()
        if self._arm == OURS:
            suspects = excluded(self._history, everybody, everybody, self._scene.min_group)
        self._played.left_out.append(suspects)
        rest = self._arm == OURS and rests(self._history, suspects)
        sections = len(self._sections)
        return draw_partitions(seed, self._members, self._scene.min_group, suspects, rest=rest, sections=sections)

    def _quantised(self, delta: NDArray[np.float32], number: int, seat: int) -> NDArray[np.int64]:
        rounding = derive_seed(self._scene.settings.seed, number, seat).to_bytes(32, "big")
        return np.concatenate(list(QuantisedUpdate(delta, self._weights[seat], self._layout, self._limit, rounding)))

    def _judged(
        self,
        model: NDArray[np.float32],
        deltas: Sequence[NDArray[np.float32]],
        groups: tuple[tuple[int, ...], ...],
        totals: Sequence[NDArray[np.int64]],
        weights: Sequence[int],
    ) -> tuple[bool, ...]:
        """Everybody's verdicts, and what follows from them."""
        scene = self._scene
        before = self._scores(model)
        sections = self._section_of(groups)
        allowed = scene.clip_norm / math.sqrt(len(self._sections))
        long = [
            too_long(total, self._steps[section.values], [self._weights[seat] for seat in group], allowed)
            for section, total, group in zip(sections, totals, groups, strict=True)
        ]
        whole = [not bad for bad in long]
        after = [
            self._scores(
                self._stepped(
                    model,
                    totals,
                    weights,
                    [other == k if sections[other] == section else whole[other] for other in range(len(groups))],
                )
            )
            for k, section in enumerate(sections)
        ]
        middle = midway(model, self._stepped(model, totals, weights, whole))
        votes, bodies = [], []
        for seat in range(self._members):
            base, scores = before[seat], tuple(0 if bad else row[seat] for row, bad in zip(after, long, strict=True))
            others = [
                without_own(
                    deltas[seat][section.values],
                    total,
                    self._steps[section.values],
                    self._weights[seat] if seat in group else 0,
                )
                for section, total, group in zip(sections, totals, groups, strict=True)
            ]
            falling = descent(middle, self._own[seat], scene.settings)
            pairs = list(zip(sections, others, strict=True))
            aligned = tuple(alignment(deltas[seat][section.values], each) for section, each in pairs)
            descents = tuple(alignment(falling[section.values], each) for section, each in pairs)
            if self._attack and seat in self._liars:
                base, scores = told_scores(self._attack, base, scores, groups)
                aligned, descents = told_pointing(self._attack, aligned, descents, groups)
            accept = tuple(acceptable(base, score, scene.tolerance) for score in scores)
            votes.append(Verdict(seat.to_bytes(32, "big"), seat, bytes(32), accept, aligned, descents))
            bodies.append(VerdictBody(bytes(32), scores, base, accept, 1, aligned, descents))
        compared_by = self._quorum if self._arm == OURS else None
        accepted = accepted_groups(votes, len(groups), compared_by, len(self._sections))
        results = enumerate(zip(groups, accepted, strict=True))
        told = tuple(group_result(*result, number, bodies) for number, result in results)
        spared = frozenset(range(self._members)).difference(*groups)
        issuers = tuple(range(self._members))
        self._history.append(RoundResult(told, issuers, tuple(sorted(spared)), len(self._sections)))
        return accepted

    def _scores(self, model: NDArray[np.float32]) -> list[int]:
        """Each hospital's accuracy on its held-out images, parts per million."""
        answers, labels = predict(model, self._held, self._scene.settings), np.asarray(self._held.labels)
        right = (answers.argmax(axis=1) == labels).astype(np.float64)
        return [round(float(part.mean()) * PPM) for part in np.split(right, self._cuts)]

    def _fooled(self, model: NDArray[np.float32]) -> float:
        test = self._scene.test
        others = np.flatnonzero(np.asarray(test.labels) != 0)
        marked = test.take(others, "with the patch")
        answers = predict(model, replace(marked, images=with_patch(np.asarray(marked.images))), self._scene.settings)
        return float((answers.argmax(axis=1) == 0).mean())
