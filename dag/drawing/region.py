"""A part of the graph, with all that a picture says about each transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dag.bodies import Kind
from dag.ids import cid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dag.tangle import Tangle


@dataclass(frozen=True)
class Dot:
    """One transaction of a picture.

    Attributes:
        id: its id (32 bytes).
        kind: its kind.
        round: its round.
        lane: index of its issuer; -1 for genesis.
        depth: length of the longest path back to genesis.
        weight: distinct members that approve it.
        confirmed: whether that is a quorum.
        parents: ids of its distinct parents that are in the picture.
        outside: how many of its parents are not.
        skipped: in a thinned picture, transactions left out between it and its nearest drawn ancestors.
    """

    id: bytes
    kind: Kind
    round: int
    lane: int
    depth: int
    weight: int
    confirmed: bool
    parents: tuple[bytes, ...]
    outside: int = 0
    skipped: int = 0

    @property
    def cid(self) -> str:
        """Its CID."""
        return cid_of(self.id)


@dataclass(frozen=True)
class Region:
    """What a picture shows.

    Attributes:
        dots: the transactions, ascending by depth, then id: an order that every node agrees on.
        lanes: issuer index to display name, ascending by index; every issuer in `dots` has one.
        quorum: members that confirm a transaction.
        title: what the picture is of.
        left_out: kinds of transactions that thinning left out, with their number.
    """

    dots: tuple[Dot, ...]
    lanes: tuple[tuple[int, str], ...]
    quorum: int
    title: str
    left_out: tuple[tuple[Kind, int], ...] = ()

    @property
    def rounds(self) -> tuple[int, ...]:
        """Rounds in the picture, ascending."""
        return tuple(sorted({dot.round for dot in self.dots}))

    @classmethod
    def of(cls, tangle: Tangle, ids: Iterable[bytes], title: str, names: Mapping[int, str] | None = None) -> Region:
        """The region of these transactions.

        Args:
            tangle: the graph.
            ids: which transactions.
            title: what they are.
            names: issuer index to hospital's name; `member <index>` where none is given.

        Raises:
            UnknownTransaction: an id is not attached.
        """
        chosen = set(ids)
        dots = sorted((_dot(tangle, tx_id, chosen) for tx_id in chosen), key=lambda dot: (dot.depth, dot.id))
        issuers = sorted({dot.lane for dot in dots} | set(names or ()))
        known = names or {}
        lanes = tuple((lane, known.get(lane, "genesis" if lane < 0 else f"member {lane}")) for lane in issuers)
        return cls(tuple(dots), lanes, tangle.quorum, title)


def rounds_region(
    tangle: Tangle, first: int, last: int, names: Mapping[int, str] | None = None, *, context: bool = False
) -> Region:
    """The transactions of rounds `first` to `last`.

    Args:
        tangle: the graph.
        first: the first round.
        last: the last round, ≥ first.
        names: as in `Region.of`.
        context: with the transactions of other rounds that they approve directly.

    Raises:
        UnknownTransaction: the graph changed meanwhile.
    """
    title = f"Ledger, round {first}" if first == last else f"Ledger, rounds {first} to {last}"
    chosen = [tx_id for tx_id in tangle.ids() if first <= tangle.round(tx_id) <= last]
    if context:
        chosen += [parent for tx_id in chosen for parent in tangle.parents(tx_id)]
    return Region.of(tangle, chosen, title, names)


def cone_ids(
    tangle: Tangle, tx_id: bytes, limit: int, step: Callable[[bytes], tuple[bytes, ...]] | None = None
) -> tuple[tuple[bytes, ...], bool]:
    """A transaction and what it approves, nearest first, and whether `limit` cut it short.

    Args:
        tangle: the graph.
        tx_id: where to start.
        limit: at most so many.
        step: from one id to the next ones; `tangle.parents` by default, `tangle.approvers` for what approves it.

    Raises:
        UnknownTransaction: it is not attached.
    """
    follow = step or tangle.parents
    seen, queue = {tx_id: None}, [tx_id]
    follow(tx_id)
    for at in queue:
        for other in follow(at):
            if other not in seen:
                if len(seen) == limit:
                    return tuple(seen), True
                seen[other] = None
                queue.append(other)
    return tuple(seen), False


def _dot(tangle: Tangle, tx_id: bytes, chosen: set[bytes]) -> Dot:
    parents = tangle.parents(tx_id)
    inside = tuple(sorted(parent for parent in parents if parent in chosen))
    genesis = tangle.kind(tx_id) is Kind.GENESIS
    return Dot(
        tx_id,
        tangle.kind(tx_id),
        tangle.round(tx_id),
        tangle.issuer(tx_id),
        tangle.depth(tx_id),
        tangle.approval_weight(tx_id),
        genesis or tangle.is_confirmed(tx_id),
        inside,
        len(parents) - len(inside),
    )
