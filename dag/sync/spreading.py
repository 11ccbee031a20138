"""Telling others: own transactions in full to every peer, others' ids to a few, contradictions to everybody.

A node that refuses the second half of a contradiction neither attaches nor relays it, so its neighbours would hear of one
half only. Whoever finds a contradiction therefore sends both halves to every peer, and again at each comparison of frontiers
until the peer is known to have both. One proof a member is enough, so this is bounded by the number of members.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from dag.sync.effects import Send, Spread
from dag.sync.messages import MAX_ANNOUNCED, Announce, Push
from dag.sync.serving import within

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from dag.equivocation import EquivocationProof
    from dag.sync.config import SyncConfig
    from dag.sync.effects import Effect
    from dag.sync.peers import Peer, Peers
    from dag.sync.ports import LedgerPort


class Spreading:
    """What peers are about to be told, coalesced and bounded for each of them.

    The first push after a pause leaves at once; what follows within `coalesce_seconds` goes together.
    """

    def __init__(self, port: LedgerPort, config: SyncConfig, peers: Peers, rng: random.Random) -> None:
        """Nothing to tell yet."""
        self._port = port
        self._config = config
        self._peers = peers
        self._rng = rng
        self._own: OrderedDict[bytes, dict[str, None]] = OrderedDict()
        self._spread: list[bytes] = []
        self._told: dict[str, None] = {}
        self._proofs: dict[bytes, tuple[tuple[bytes, bytes], bytes]] = {}

    def __len__(self) -> int:
        return len(self._own)

    def created(self, ids: Iterable[bytes]) -> None:
        """Own transactions, for every peer; those that are spreading already are passed over."""
        for tx_id in ids:
            if tx_id in self._own:
                continue
            self._own[tx_id] = {}
            if len(self._own) > self._config.max_own:
                self._own.popitem(last=False)
            for peer in self._peers:
                self._to_push(peer, tx_id)

    def connected(self, peer: Peer) -> None:
        """A new peer hears of the own transactions that are still spreading."""
        for tx_id in self._own:
            self._to_push(peer, tx_id)

    def relay(self, tx_id: bytes, now: float) -> None:
        """Another member's transaction is attached: a few peers hear of its id."""
        if not self._config.relay:
            return
        unaware = [peer for peer in self._peers if tx_id not in peer.known]
        for peer in self._rng.sample(unaware, min(self._config.relay, len(unaware))):
            peer.to_announce[tx_id] = None
            if len(peer.to_announce) > MAX_ANNOUNCED:
                peer.to_announce.popitem(last=False)
            peer.announce_at = min(peer.announce_at, now + self._config.relay_seconds)
            self._told[peer.name] = None

    def accuse(self, proof: EquivocationProof) -> bool:
        """A member contradicts itself: every peer is to have both halves. False if the member was accused before."""
        if proof.issuer in self._proofs:
            return False
        halves = (proof.first.id, proof.second.id)
        self._proofs[proof.issuer] = halves, Push((proof.first.raw, proof.second.raw)).encode()
        return True

    def warn(self, peer: Peer, now: float) -> list[Effect]:
        """Both halves of each contradiction that the peer is not known to have."""
        if not self._peers.may_send(peer, now):
            return []
        return [
            Send(peer.name, message, halves)
            for halves, message in self._proofs.values()
            if not all(half in peer.known for half in halves)
        ]

    def knows(self, peer: Peer, tx_id: bytes, *, vouched: bool = True) -> None:
        """A peer turns out to have it: it need not be told. Of own transactions that is believed only if it is vouched for."""
        if not vouched and tx_id in self._own:
            return
        peer.known.add(tx_id)
        peer.to_push.pop(tx_id, None)
        peer.to_announce.pop(tx_id, None)
        having = self._own.get(tx_id)
        if having is not None:
            having[peer.name] = None
            if len(having) > len(self._peers) // 3:
                self._spread.append(tx_id)
                del self._own[tx_id]

    def undelivered(self, peer: Peer, ids: Iterable[bytes]) -> None:
        """A push did not arrive: it is due again."""
        for tx_id in ids:
            if tx_id in self._port:
                self._to_push(peer, tx_id)

    def spread(self) -> list[Effect]:
        """Which own transactions enough peers have by now: more than a third, so one honest peer at least."""
        done, self._spread = tuple(self._spread), []
        return [Spread(done)] if done else []

    def flush(self, now: float) -> list[Effect]:
        """The messages that are due."""
        sends: list[Effect] = []
        packed: dict[tuple[bytes, ...], tuple[bytes, int]] = {}
        for name in tuple(self._told):
            peer = self._peers.get(name)
            if peer is None or not (peer.to_push or peer.to_announce):
                del self._told[name]
            elif self._peers.may_send(peer, now):
                sends += self._pushes(peer, now, packed)
                sends += self._announcements(peer, now)
        return sends

    def next_deadline(self) -> float:
        """When a message is due; infinity if there is nothing to tell."""
        return min((self._due(peer) for name in self._told if (peer := self._peers.get(name))), default=float("inf"))

    # -- inside --------------------------------------------------------------------------------------------------

    @staticmethod
    def _due(peer: Peer) -> float:
        push = peer.push_at if peer.to_push else float("inf")
        announce = peer.announce_at if peer.to_announce else float("inf")
        return max(min(push, announce), peer.quiet_until)

    def _to_push(self, peer: Peer, tx_id: bytes) -> None:
        if tx_id in peer.known:
            return
        peer.to_push[tx_id] = None
        if len(peer.to_push) > self._config.max_own:
            peer.to_push.popitem(last=False)
        self._told[peer.name] = None

    def _pushes(self, peer: Peer, now: float, packed: dict[tuple[bytes, ...], tuple[bytes, int]]) -> list[Effect]:
        """One push, the same bytes for all peers that are told the same."""
        if not peer.to_push or peer.push_at > now:
            return []
        ids = tuple(peer.to_push)
        if ids not in packed:
            raws = within(self._port.raw(tx_id) for tx_id in ids)
            packed[ids] = Push(raws).encode(), len(raws)
        message, count = packed[ids]
        for tx_id in ids[:count]:
            del peer.to_push[tx_id]
        peer.push_at = now + self._config.coalesce_seconds
        return [Send(peer.name, message, ids[:count])]

    @staticmethod
    def _announcements(peer: Peer, now: float) -> list[Effect]:
        if not peer.to_announce or peer.announce_at > now:
            return []
        ids = tuple(peer.to_announce)
        peer.to_announce.clear()
        peer.announce_at = float("inf")
        return [Send(peer.name, Announce(ids).encode())]
