"""What must hold when a run is over, whatever happened in it. Reads the nodes; never part of them.

1. Every honest node holds the same transactions for confirmed.
2. What an honest node ever held for confirmed, every honest node holds for confirmed in the end.
3. The order up to each anchored head is the same on all honest nodes and never changed: heads in the chain's order, below
   each what no earlier head had, by depth and then by id.
4. Nothing is attached that the rules refuse.
5. Every update and head of an honest member is confirmed.
6. No buffer ever grew beyond its limit.
7. A member that one honest node can convict of contradicting itself, all can.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from dag.errors import LedgerError
from dag.rules import verify_standalone
from dag.simulator.errors import ConfirmedLost, Diverged, InvalidAttached, Reordered, Unbounded, Unsettled
from dag.sync.messages import MAX_MESSAGE_BYTES
from dag.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dag.simulator.node import Node
    from dag.simulator.world import World
    from dag.tangle import Tangle

CHECKED_AGAIN: Final = 200
"""Transactions whose bytes are decoded and verified anew at the end, past everything that nodes share."""


class Notes:
    """What the oracle writes down while a run goes on. Crashes do not touch it.

    Attributes:
        confirmed: each transaction that some observer held for confirmed, and which observer was the first.
        orders: by node, one digest for each anchored head of the order as far as it.
    """

    def __init__(self, world: World) -> None:
        self.confirmed: dict[bytes, str] = {}
        self.orders: dict[int, list[bytes]] = {}
        self._world = world
        self._seen: dict[int, tuple[int, int]] = {}
        self._watched = {node.index for node in world.observers}

    def look(self) -> None:
        """Notes what the observers hold for confirmed now."""
        for node in self._world.observers:
            if not node.up:
                continue
            tangle = node.ledger.tangle
            key = (len(tangle), node.counts["crashes"])
            if self._seen.get(node.index) != key:
                self._seen[node.index] = key
                for tx_id in confirmed(tangle):
                    self.confirmed.setdefault(tx_id, node.name)

    def finalised(self, node: Node, count: int) -> None:
        """Compares the order up to the newest of `count` heads with what this node said before, if it did.

        Raises:
            Reordered: it said something else.
        """
        if node.index not in self._watched:
            return
        heads = [anchor.head for anchor in self._world.chain.anchors[:count]]
        found = sha256(b"".join(final_order(node.ledger.tangle, heads))).digest()
        known = self.orders.setdefault(node.index, [])
        if len(known) >= count:
            if known[count - 1] != found:
                raise Reordered(node.name, f"the order up to anchored head {count} is not what it was", (heads[-1],))
        else:
            known.append(found)


def final_order(tangle: Tangle, heads: Sequence[bytes]) -> Iterator[bytes]:
    """Ids in final order: for each anchored head what it has in its past cone that no earlier one had, by depth, then id.

    Raises:
        UnknownTransaction: a head is not attached.
    """
    done: dict[bytes, None] = {}
    for head in heads:
        fresh = [tx_id for tx_id in tangle.cone(head, stop=done) if tx_id not in done]
        for tx_id in sorted(fresh, key=lambda found: (tangle.depth(found), found)):
            done[tx_id] = None
            yield tx_id


def confirmed(tangle: Tangle) -> list[bytes]:
    """Ids that a quorum approves, in the order of attachment."""
    weights = tangle.graph.columns.column("weight")
    return [tangle.id_at(int(at)) for at in (weights >= tangle.quorum).nonzero()[0]]


def confirmed_count(tangle: Tangle) -> int:
    """How many transactions a quorum approves."""
    return int((tangle.graph.columns.column("weight") >= tangle.quorum).sum())


def verify_all(world: World) -> None:
    """Demands every property.

    Raises:
        PropertyBroken: the subclass says which does not hold, where, and the ids that show it.
    """
    verify_bounded(world)
    verify_nothing_invalid(world)
    verify_settled(world)
    verify_same_convicted(world)
    verify_same_confirmed(world)
    verify_nothing_lost(world)
    verify_order(world)


def verify_same_confirmed(world: World) -> None:
    """Property 1. Raises Diverged."""
    first, *others = world.honest
    wanted = set(confirmed(first.ledger.tangle))
    for node in others:
        if different := sorted(wanted.symmetric_difference(confirmed(node.ledger.tangle))):
            raise Diverged(node.name, f"confirmed here or at {first.name}, not at both", tuple(different))


def convicted(node: Node) -> list[int]:
    """Indices of the members that a node holds proofs against."""
    return [index for index in range(node.world.scenario.nodes) if node.ledger.tangle.is_faulty(index)]


def verify_same_convicted(world: World) -> None:
    """Property 7. Raises Diverged."""
    first, *others = world.honest
    for node in others:
        if (here := convicted(node)) != (there := convicted(first)):
            raise Diverged(node.name, f"convicted members {here}, at {first.name} {there}")


def verify_nothing_lost(world: World) -> None:
    """Property 2. Raises ConfirmedLost."""
    for node in world.honest:
        now = set(confirmed(node.ledger.tangle))
        if lost := [tx_id for tx_id in world.notes.confirmed if tx_id not in now]:
            raise ConfirmedLost(node.name, f"once confirmed at {world.notes.confirmed[lost[0]]}", tuple(lost))


def verify_order(world: World) -> None:
    """Property 3. Raises Reordered."""
    count = len(world.chain.anchors)
    orders = {node.name: world.notes.orders.get(node.index, []) for node in world.observers}
    for name, order in orders.items():
        if len(order) < count:
            raise Reordered(name, f"holds {len(order)} of {count} anchored heads")
    first = world.observers[0]
    for name, order in orders.items():
        if order != orders[first.name]:
            raise Reordered(name, f"another order below an anchored head than {first.name}")
    for node in world.observers:
        for number in range(1, count + 1):
            world.notes.finalised(node, number)


def verify_nothing_invalid(world: World) -> None:
    """Property 4: known forgeries are absent, and a sample is decoded and verified from its bytes anew. Raises InvalidAttached."""
    for node in world.honest:
        if wrong := [tx_id for tx_id in world.deeds.invalid if tx_id in node.ledger]:
            raise InvalidAttached(node.name, "forged transactions are attached", tuple(wrong))
    node = world.honest[world.scenario.seed % len(world.honest)]
    rows = list(node.store.rows())
    for row in rows[1 :: max(1, len(rows) // CHECKED_AGAIN)]:
        try:
            verify_standalone(Transaction.decode(row.raw), world.chain.context)
        except LedgerError as error:
            raise InvalidAttached(node.name, str(error), (row.id,)) from None


def verify_settled(world: World) -> None:
    """Property 5, and that every honest transaction is everywhere. Raises Unsettled."""
    for node in world.honest:
        if not node.up:
            raise Unsettled(node.name, "is down")
        if absent := [tx_id for tx_id in world.deeds.honest if tx_id not in node.ledger]:
            raise Unsettled(node.name, "honest transactions have not arrived", tuple(absent))
        if node.member.is_waiting():
            raise Unsettled(node.name, "updates or heads are not confirmed", tuple(node.member.unconfirmed))


def verify_bounded(world: World) -> None:
    """Property 6. Raises Unbounded."""
    config = world.sync_config
    limits = {
        "peers": config.max_peers,
        "queued_messages": config.lane_messages * world.scenario.nodes,
        "queued_bytes": config.total_bytes + config.max_peers * MAX_MESSAGE_BYTES,
        "wants": config.max_wants,
        "held": config.max_held,
        "parked": config.max_remembered,
        "refused": config.max_remembered,
        "own": config.max_own,
    }
    for node in world.honest:
        for name, limit in limits.items():
            if (peak := node.peaks.get(name, 0)) > limit:
                raise Unbounded(node.name, f"{name} grew to {peak}, at most {limit} are allowed")
