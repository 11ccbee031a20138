"""The round's ledger as every member sees it: one graph, of which each transaction reaches each member in its own time.

Transactions are the real records, so their bytes and ids are what they are in a daemon's ledger; only signatures are left
blank. How parents are gathered follows `node.publishing.publisher` and `dag.gathering`. One thing is simpler: where a daemon
chooses tips by weighted walks, a member here draws among the tips it sees, and then pairs them as `dag.walks` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from dag.bodies import AcknowledgementBody, Kind, ShareBody, VerdictBody
from dag.transaction import Transaction

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from dag.bodies import Body

    Moments = NDArray[np.float64]

ROUND, EPOCH = 1, 1
QUIET: Final = AcknowledgementBody(reveal=None)
_CONSORTIUM: Final = bytes(32)
_WALKS: Final = 16  # as `dag.walks` tries
_NEWEST, _PAIRED = 64, 16  # as `dag.gathering` looks at
_PATIENCE: Final = 3  # as `dag.walks.orphan_of` waits
_TIDY: Final = 128  # posts between looks for what nobody can approve any more


class Ledger:
    """All transactions of one round, and when each member has them.

    Attributes:
        transactions: in the order of posting; the genesis is none of them.
        count_bytes: of all transactions together.
    """

    def __init__(self, members: int, quorum: int, rng: random.Random) -> None:
        self.transactions: list[Transaction] = []
        self.count_bytes = 0
        self._quorum = quorum
        self._rng = rng
        self._place = {bytes(32): 0}
        self._ids = [bytes(32)]
        self._issuers = [-1]
        self._holds = [0]
        self._bits: dict[bytes, int] = {}
        self._marked: list[bytes] = []
        self._updates = 0
        self._approved = [0] * members
        self._sequence = [0] * members
        self._closes: list[tuple[int, int]] = []
        self._seen: Moments = np.zeros((1, members))
        self._passed: Moments = np.full((1, members), np.inf)
        self._open = [0]

    # -- posting -------------------------------------------------------------------------------------------------------

    def post(
        self,
        member: int,
        address: bytes,
        body: Body,
        parents: tuple[bytes, bytes],
        arrivals: Moments,
        payload: str | None,
    ) -> Transaction:
        """Enter a member's transaction; it reaches each member when it and its parents have arrived there.

        Args:
            member: Its issuer.
            address: The issuer's account, 20 bytes.
            body: What it says.
            parents: Ids of two that the issuer sees.
            arrivals: When its bytes (and its payload) are there and verified, by member.
            payload: CID of its blob, for kinds that have one.
        """
        kind, sequence = body.kind, self._sequence[member]
        self._sequence[member] += 1
        posted = Transaction(kind, _CONSORTIUM, EPOCH, ROUND, sequence, parents, payload, body, _blank(member))
        posted.__dict__["issuer"] = address
        self._enter(posted, member, arrivals)
        return posted

    def _enter(self, posted: Transaction, member: int, arrivals: Moments) -> None:
        at, above = len(self._ids), [self._place[parent] for parent in posted.parents]
        held = self._holds[above[0]] | self._holds[above[1]]
        if not is_plain(posted):
            self._bits[posted.id] = len(self._bits)
            self._marked.append(posted.id)
            held |= 1 << self._bits[posted.id]
        if posted.kind is Kind.UPDATE:
            self._updates |= 1 << self._bits[posted.id]
        if isinstance(posted.body, AcknowledgementBody) and posted.body.close:
            self._closes.append((at, member))
        self._place[posted.id] = at
        self._ids.append(posted.id)
        self._issuers.append(member)
        self._holds.append(held)
        self._approved[member] |= held
        self._reserve(at + 1)
        self._seen[at] = np.maximum(arrivals, self._seen[above].max(axis=0))
        for parent in above:
            np.minimum(self._passed[parent], self._seen[at], out=self._passed[parent])
        self._open.append(at)
        self.transactions.append(posted)
        self.count_bytes += len(posted.raw)

    def _reserve(self, rows: int) -> None:
        have, members = self._seen.shape
        if rows > have:
            more = np.full((max(1024, have), members), np.inf)
            self._seen = np.concatenate([self._seen, more])
            self._passed = np.concatenate([self._passed, more])

    # -- what a member sees --------------------------------------------------------------------------------------------

    def moments(self, tx_id: bytes) -> Moments:
        """When each member has it."""
        seen: Moments = self._seen[self._place[tx_id]]
        return seen

    def approves(self, member: int, update: bytes) -> bool:
        """Whether one of the member's transactions has it in its past cone."""
        return bool(self._approved[member] >> self._bits[update] & 1)

    def tips(self, member: int, now: float) -> list[int]:
        """Places of what the member sees and sees nobody approve, in the order of posting."""
        if len(self._ids) % _TIDY == 0:
            gone = self._passed[self._open].max(axis=1) <= now
            self._open = [at for at, over in zip(self._open, gone, strict=True) if not over]
        rows = np.array(self._open)
        shown = (self._seen[rows, member] <= now) & (self._passed[rows, member] > now)
        found: list[int] = rows[shown].tolist()
        return found

    def choose(self, member: int, now: float, body: Body, through: bytes | None = None) -> tuple[bytes, bytes]:
        """Two parents for a transaction, as `dag.walks.choose_parents` pairs what walks find."""
        tips = self.tips(member, now)
        about = through or (body.proposal if isinstance(body, ShareBody | VerdictBody) else None)
        found = tips if len(tips) <= 2 * _WALKS else self._rng.sample(tips, 2 * _WALKS)
        first = self._tip_over(tips, about) if about else max(found, key=lambda tip: self._news(tip, member, 0))
        if isinstance(body, AcknowledgementBody) and (orphan := self._orphan(tips, member)) is not None:
            return self._ids[first], self._ids[orphan]
        taken = self._holds[first]
        second = max(
            found, key=lambda tip: (self._news(tip, member, taken), tip != first, self._issuers[tip] != member)
        )
        return self._ids[first], self._ids[second]

    def _news(self, tip: int, member: int, taken: int) -> int:
        return (self._holds[tip] & self._updates & ~(self._approved[member] | taken)).bit_count()

    def _orphan(self, tips: Sequence[int], member: int) -> int | None:
        newest = len(self._ids) - 1 - _PATIENCE * self._quorum
        return next((tip for tip in tips if tip <= newest and self._issuers[tip] == member), None)

    def _tip_over(self, tips: Sequence[int], tx_id: bytes) -> int:
        bit = self._bits[tx_id]
        newest = reversed(tips[-_NEWEST:])
        return next((tip for tip in newest if self._holds[tip] >> bit & 1), self._place[tx_id])

    def over(self, member: int, now: float, ids: Iterable[bytes]) -> tuple[bytes, bytes]:
        """The pair of tips that holds most of these, as `dag.gathering.parents_over` finds it."""
        wanted, tips = self._mask(ids), self.tips(member, now)[-_NEWEST:][::-1]
        held = {tip: self._holds[tip] & wanted for tip in tips}
        best = sorted(tips, key=lambda tip: -held[tip].bit_count())[:_PAIRED]
        pairs = ((one, two) for place, one in enumerate(best) for two in best[place:])
        one, two = max(pairs, key=lambda pair: (held[pair[0]] | held[pair[1]]).bit_count())
        return self._ids[one], self._ids[two]

    def missing(self, ids: Iterable[bytes], parents: tuple[bytes, bytes]) -> int:
        """The ids that are not below these two, as bits."""
        return self._mask(ids) & ~self._held(parents)

    def beside(self, member: int, now: float, joint: bytes, missing: int) -> tuple[bytes, bytes]:
        """A transaction and the newest tip over the first of what is missing; what `dag.gathering.tip_over` finds."""
        bit = (missing & -missing).bit_length() - 1
        return joint, self._ids[self._tip_over(self.tips(member, now), self._marked[bit])]

    def closers(self, member: int, now: float, update: bytes) -> int:
        """How many members' closes cover an update, as far as this member sees."""
        bit = self._bits[update]
        return sum(bool(self._holds[at] >> bit & 1) and self._seen[at, member] <= now for at, _ in self._closes)

    def listable(self, updates: Sequence[bytes], parents: tuple[bytes, bytes]) -> tuple[bytes, ...]:
        """Those of these updates that the closes of a quorum below these two cover, ascending."""
        held = self._held(parents)
        closes = [self._holds[at] for at, _ in self._closes if held >> self._bits[self._ids[at]] & 1]
        count = {update: sum(mask >> self._bits[update] & 1 for mask in closes) for update in updates}
        return tuple(sorted(update for update in updates if count[update] >= self._quorum))

    def _held(self, parents: tuple[bytes, bytes]) -> int:
        return self._holds[self._place[parents[0]]] | self._holds[self._place[parents[1]]]

    def _mask(self, ids: Iterable[bytes]) -> int:
        mask = 0
        for tx_id in ids:
            mask |= 1 << self._bits[tx_id]
        return mask


def is_plain(transaction: Transaction) -> bool:
    """Whether it only approves: it tells a member's machine nothing but who approves what."""
    body = transaction.body
    return isinstance(body, AcknowledgementBody) and not body.close and body.reveal is None


def _blank(member: int) -> bytes:
    """In place of a signature, another one for each member: two that say the same are two transactions."""
    return member.to_bytes(65, "big")
