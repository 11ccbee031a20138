"""Walks alone, without a network: one graph that everybody sees with the same delay, and one member that attacks.

*In flight* is Popov's rate times delay: a new transaction chooses its parents without seeing the newest `in_flight` ones.
That is the only imperfection here, so what is measured is a property of the rating and the walks, not of a network. A
member does remember which of its own it has just rescued, as a node does, which sees its own transactions at once.
Source: Popov, "The Tangle", sections 3 and 4.1.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dag.bodies import Kind
from dag.simulator.seeds import stream
from dag.tangle import Tangle
from dag.walks import Rating, choose_parents, orphan_of
from dag.weights import PPM, credibility

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROUND: Final = 1


@dataclass(frozen=True)
class Setting:
    """What is tried.

    Attributes:
        members: who posts, ≥ 4.
        in_flight: transactions that nobody sees yet, ≥ 0.
        seed: of all chance.
        alpha: greed of the walks.
        rating: what walks go by.
        rescue: whether members re-approve their own orphans.
    """

    members: int = 10
    in_flight: int = 5
    seed: int = 0
    alpha: float = 2.0
    rating: Rating = "approval"
    rescue: bool = True


class Laboratory:
    """A graph that grows.

    Attributes:
        setting: what is tried.
        tangle: what everybody sees.
        order: ids in the order in which they became visible.
        parents: of every transaction that `post` made, visible or not.
        rng: source of chance.
    """

    def __init__(self, setting: Setting) -> None:
        """Genesis alone."""
        self.setting = setting
        self.rng = stream(setting.seed, f"laboratory {setting.members} {setting.in_flight}")
        self.tangle = Tangle(-(-2 * setting.members // 3))
        self.order: list[bytes] = []
        self.parents: dict[bytes, tuple[bytes, bytes]] = {}
        self._made = 0
        self._credibility: dict[bytes, float] = {}
        self._flying: deque[tuple[bytes, tuple[bytes, bytes], int, Kind]] = deque()
        self.genesis = self._name()
        self.tangle.attach(self.genesis, (), None, 0, Kind.GENESIS)

    # -- posting ---------------------------------------------------------------------------------------------------

    def post(self, member: int, kind: Kind = Kind.ACKNOWLEDGEMENT, through: bytes | None = None) -> bytes:
        """An honest transaction, on parents that the walks choose; visible once `in_flight` more have been posted."""
        tx_id, parents = self._name(), self.choose(member, through)
        self.parents[tx_id] = parents
        self._flying.append((tx_id, parents, member, kind))
        while len(self._flying) > self.setting.in_flight:
            self._land()
        return tx_id

    def choose(self, member: int, through: bytes | None = None) -> tuple[bytes, bytes]:
        """The parents that an honest member would take now."""
        return choose_parents(
            self.tangle,
            self.rng,
            self.setting.alpha,
            self.setting.rating,
            through=through,
            rescue=self._orphan(member) if self.setting.rescue else None,
            member=member,
            round_=ROUND,
            credibility=self._credibility,
        )

    def attack(self, member: int, parents: tuple[bytes, bytes]) -> bytes:
        """A transaction on any parents, visible at once: the attacker is quicker than everybody."""
        tx_id = self._name()
        self.tangle.attach(tx_id, parents, member, ROUND, Kind.ACKNOWLEDGEMENT)
        return tx_id

    def grow(self, count: int, members: Sequence[int]) -> list[bytes]:
        """So many honest transactions, by members drawn by lot."""
        return [self.post(self.rng.choice(members)) for _ in range(count)]

    def land_all(self) -> None:
        """Everything in flight becomes visible."""
        while self._flying:
            self._land()

    def step(self, members: Iterable[int], kind: Kind) -> None:
        """All of these members post at the same moment: none sees what the others post now."""
        posted = [(self._name(), self._settling_parents(member), member, kind) for member in members]
        self._flying.extend(posted)
        self.land_all()

    # -- measuring -------------------------------------------------------------------------------------------------

    def ends(self, walks: int) -> list[bytes]:
        """Where so many single walks from the entry point end now."""
        entry = self.tangle.entry
        return [
            choose_parents(
                self.tangle,
                self.rng,
                self.setting.alpha,
                self.setting.rating,
                through=entry,
                credibility=self._credibility,
            )[0]
            for _ in range(walks)
        ]

    def orphans(self, ids: Iterable[bytes]) -> float:
        """Share of these that no other member approves."""
        weights = [self.tangle.approval_weight(tx_id) for tx_id in ids]
        return sum(weight < 2 for weight in weights) / len(weights)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _settling_parents(self, member: int) -> tuple[bytes, bytes]:
        """As a node chooses for an acknowledgement: the first walk starts at an update it has not approved."""
        updates = [tx_id for tx_id in self.order if self.tangle.kind(tx_id) is Kind.UPDATE]
        behind = [tx_id for tx_id in updates if not self.tangle.approved_by(tx_id, member)]
        return self.choose(member, self.rng.choice(behind) if behind else None)

    def _orphan(self, member: int) -> bytes | None:
        orphan = orphan_of(self.tangle, member)
        return None if any(orphan in parents for _, parents, _, _ in self._flying) else orphan

    def _land(self) -> None:
        tx_id, parents, member, kind = self._flying.popleft()
        self.tangle.attach(tx_id, parents, member, ROUND, kind)
        self.order.append(tx_id)

    def _name(self) -> bytes:
        """A fresh id, and the credibility (eq. 20 as printed) that the paper's rating would see."""
        self._made += 1
        tx_id = self._made.to_bytes(32, "big")
        accuracy, weight = self.rng.randrange(850_000, 950_000), self.rng.randrange(50_000, 500_000)
        self._credibility[tx_id] = credibility(accuracy, 0, weight, paper_literal=True) / PPM
        return tx_id
