"""Walks alone, without a network: every member sees its own transactions at once and all others with the same delay.

*In flight* is Popov's rate times delay: a transaction reaches the other members when `in_flight` more have been posted. That
is the only imperfection here, so what is measured is a property of the rating and the walks, not of a network.
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
        in_flight: newest transactions that only their own members see, ≥ 0.
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
    """A graph that grows, as each member sees it.

    Attributes:
        setting: what is tried.
        views: what each member sees, by member.
        order: ids of honest transactions in the order in which the others came to see them.
        parents: of every transaction that `post` made, seen by others or not.
        rng: source of chance.
    """

    def __init__(self, setting: Setting) -> None:
        """Genesis alone."""
        self.setting = setting
        self.rng = stream(setting.seed, f"laboratory {setting.members} {setting.in_flight}")
        self.views = [Tangle(-(-2 * setting.members // 3)) for _ in range(setting.members)]
        self.order: list[bytes] = []
        self.parents: dict[bytes, tuple[bytes, ...]] = {}
        self._kinds: dict[bytes, Kind] = {}
        self._updates: list[bytes] = []
        self._made = 0
        self._credibility: dict[bytes, float] = {}
        self._flying: deque[tuple[bytes, int]] = deque()
        self.genesis = self._name((), Kind.GENESIS)
        for view in self.views:
            view.attach(self.genesis, (), None, 0, Kind.GENESIS)

    # -- posting ---------------------------------------------------------------------------------------------------

    def post(self, member: int, kind: Kind = Kind.ACKNOWLEDGEMENT) -> bytes:
        """An honest transaction, on parents that the walks choose in its member's view."""
        view = self.views[member]
        through = self._behind(member) if kind is Kind.ACKNOWLEDGEMENT else None
        parents = choose_parents(
            view,
            self.rng,
            self.setting.alpha,
            self.setting.rating,
            through=through,
            rescue=orphan_of(view, member) if self.setting.rescue else None,
            member=member,
            round_=ROUND,
            credibility=self._credibility,
        )
        tx_id = self._name(parents, kind)
        self._show(tx_id, member, member)
        self._flying.append((tx_id, member))
        while len(self._flying) > self.setting.in_flight:
            self._land()
        return tx_id

    def attack(self, member: int, parents: tuple[bytes, bytes]) -> bytes:
        """A transaction on any parents, seen by all at once: the attacker is quicker than everybody."""
        tx_id = self._name(parents, Kind.ACKNOWLEDGEMENT)
        for viewer in range(self.setting.members):
            self._show(tx_id, member, viewer)
        return tx_id

    def grow(self, count: int, members: Sequence[int]) -> list[bytes]:
        """So many honest transactions, by members drawn by lot."""
        return [self.post(self.rng.choice(members)) for _ in range(count)]

    def land_all(self) -> None:
        """Everything in flight arrives."""
        while self._flying:
            self._land()

    # -- measuring -------------------------------------------------------------------------------------------------

    def ends(self, walks: int, member: int, entry: bytes | None = None) -> list[bytes]:
        """Where so many single walks of a member end now, from its entry point or from another place."""
        view = self.views[member]
        return [
            choose_parents(
                view,
                self.rng,
                self.setting.alpha,
                self.setting.rating,
                through=entry or view.entry,
                credibility=self._credibility,
            )[0]
            for _ in range(walks)
        ]

    def orphans(self, ids: Iterable[bytes]) -> float:
        """Share of these that no other member approves; everything must have arrived."""
        weights = [self.views[0].approval_weight(tx_id) for tx_id in ids]
        return sum(weight < 2 for weight in weights) / len(weights)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _behind(self, member: int) -> bytes | None:
        """As `dag.ledger.Ledger.create` has it: an update that the member has not approved yet, by lot."""
        view = self.views[member]
        behind = [tx_id for tx_id in self._updates if tx_id in view and not view.approved_by(tx_id, member)]
        return self.rng.choice(behind) if behind else None

    def _show(self, tx_id: bytes, member: int, viewer: int) -> None:
        self.views[viewer].attach(tx_id, self.parents[tx_id], member, ROUND, self._kinds[tx_id])

    def _land(self) -> None:
        tx_id, member = self._flying.popleft()
        for viewer in range(self.setting.members):
            self._show(tx_id, member, viewer)
        self.order.append(tx_id)

    def _name(self, parents: tuple[bytes, ...], kind: Kind) -> bytes:
        """A fresh id, and the credibility (eq. 20 as printed) that the paper's rating would see."""
        self._made += 1
        tx_id = self._made.to_bytes(32, "big")
        self.parents[tx_id], self._kinds[tx_id] = parents, kind
        if kind is Kind.UPDATE:
            self._updates.append(tx_id)
        accuracy, weight = self.rng.randrange(850_000, 950_000), self.rng.randrange(50_000, 500_000)
        self._credibility[tx_id] = credibility(accuracy, 0, weight, paper_literal=True) / PPM
        return tx_id
