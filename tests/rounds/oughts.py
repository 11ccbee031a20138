"""What ought to be going on in a round, said from plain sets: the specification that the machine is driven against."""

from __future__ import annotations

from dag.transaction import Transaction
from node.rounds import effects as do
from node.rounds.machine import REVEAL_GRACE_SLOTS
from tests.rounds import support as s


class Oughts:
    """The sets are those of `tests.rounds.test_machine.RoundModel`."""

    @property
    def confirmed(self) -> list[Transaction]:
        rows = [tx for tx in self.updates.values() if self.approvals[tx.id].bit_count() >= s.QUORUM]
        return sorted(rows, key=lambda tx: tx.id)

    @property
    def slot(self) -> int:
        if self.closed_at is None or self.plan is None:
            return 0
        return max(0, int((self.now - self.closed_at) / self.plan.slot_seconds - REVEAL_GRACE_SLOTS))

    @property
    def opened(self) -> Transaction | None:
        return next((p for p in self.proposals if self.scores and p.id == self.scores.proposal), None)

    def on_these_sums(self) -> dict[int, Transaction]:
        """The first verdict of each member on the sums that were opened here."""
        found: dict[int, Transaction] = {}
        for (about, member), tx in self.verdicts.items():
            known = next((p for p in self.proposals if p.id == about), None)
            if known and self.opened and known.body.sums_root == self.opened.body.sums_root:
                found.setdefault(member, tx)
        return found

    def signatures(self) -> set[int]:
        return {s.ADDRESSES.index(c.issuer) for c in self.checkpoints if c.body.statement == self.endorsed}

    def is_anchored(self, tx: Transaction) -> bool:
        return s.anchor(tx) in self.anchors

    def ought(self) -> list:
        if self.ending is not None:
            wanted = self.ending.finalised and not self.adopted
            return [do.Adopt(self.ending.model, self.ending.statement)] if wanted else []
        if self.now >= s.FINALISE_BY + 1:
            return [do.Abort()]
        if self.plan is None:
            return [do.ReadPlan()]
        before = (self.train, self.approve, self.close, self.reveal, self.unlock, self.propose)
        after = (self.verify, self.open, self.judge, self.write, self.endorse, self.finalise)
        return [effect for step in (*before, *after) for effect in step()]

    def train(self):
        if self.me not in self.updates and self.now < s.COLLECT_BY:
            yield do.PostUpdate() if self.sealed else do.TrainAndSeal()

    def approve(self):
        """One at a time: the answer of one acknowledgement may well approve the next update too."""
        waiting = [tx.id for tx in self.updates.values() if not self.approvals[tx.id] >> self.me & 1]
        if waiting and not any(isinstance(effect, do.Approve) for effect in self.running):
            yield do.Approve(waiting[0])

    def close(self):
        """Once collecting has ended, with or without an update of its own."""
        if self.closed_at is not None and self.me not in self.closers:
            yield do.Close()

    def reveal(self):
        """Never before a quorum has closed, itself included."""
        closed = self.me in self.closers and len(self.closers) >= s.QUORUM
        if closed and self.me in self.updates and self.me not in self.revealed:
            yield do.Reveal()

    def readable(self) -> list[bytes]:
        return sorted(tx.id for member, tx in self.updates.items() if member in self.revealed)

    def unlock(self):
        for update in self.readable():
            if update not in self.unlocked:
                yield do.Unlock(update)

    def propose(self):
        if self.revealable_at is None or self.slot < self.rank or self.scores:
            return
        if any(anchor.leader == self.me for anchor in self.anchors):
            return
        if any(isinstance(effect, do.Propose) for effect in self.running):
            return
        stalled = [p for p in self.proposals if p.id in self.verified and self.is_anchored(p)]
        if stalled:
            begun = [
                len({m for about, m in self.shares if self.partition(about) == self.partition(p.id)}) for p in stalled
            ]
            again = stalled[begun.index(max(begun))].body
            yield do.Propose(self.slot, again.updates, again.reveals, repeats=True)
            return
        standing = [a for a in self.anchors if s.RANKING.index(a.leader) <= self.slot]
        if self.slot == self.rank and any(a.proposal not in self.verified | self.refused for a in standing):
            return
        if self.slot > self.rank:  # there is no later slot before collecting has ended
            begun = self.closed_at + (self.slot + REVEAL_GRACE_SLOTS) * self.plan.slot_seconds
            if self.now < begun + self.plan.slot_seconds / 4:
                return
        sound = tuple(update for update in self.readable() if not self.unlocked.get(update))
        waited = self.now - self.revealable_at >= REVEAL_GRACE_SLOTS * self.plan.slot_seconds
        known = set(self.readable()) <= self.unlocked.keys()
        if known and len(sound) >= self.plan.min_group and (waited or set(self.updates) <= self.revealed):
            yield do.Propose(self.slot, () if waited else sound, (), repeats=False)

    def partition(self, proposal: bytes) -> tuple[bytes, bytes]:
        body = next(p.body for p in self.proposals if p.id == proposal)
        return body.updates_root, body.sums_root

    def verify(self):
        for p in self.proposals:
            in_turn = s.RANKING.index(s.ADDRESSES.index(p.issuer)) <= self.slot
            if p.id not in self.verified | self.refused and in_turn and self.is_anchored(p):
                yield do.VerifyProposal(p.id)

    def complete(self) -> list[do.OpenAndScore]:
        """Verified proposals all of whose openers gave their share."""
        found = []
        for p in self.proposals:
            given = [self.shares.get((p.id, member)) for member in p.body.openers]
            if p.id in self.verified and all(given):
                found.append(do.OpenAndScore(p.id, tuple(tx.id for tx in given)))
        return found

    def open(self):
        """Shares wherever this member is asked, until one complete set is being opened; others may be opened beside it."""
        first = next(iter(self.complete()), None)
        for p in self.proposals if not self.scores else ():
            if p.id in self.verified and self.me in p.body.openers and (p.id, self.me) not in self.shares:
                yield do.ReleaseShare(p.id)
            if first and first.proposal == p.id:
                yield first
                return

    def may(self) -> set:
        """What may be going on besides: any complete set of shares, any statement that was not found false."""
        if self.ending or self.now >= s.FINALISE_BY + 1 or self.plan is None:
            return set()
        asked = {do.ReleaseShare(p.id) for p in self.proposals if p.id in self.verified and self.me in p.body.openers}
        given = {do.ReleaseShare(p) for p, member in self.shares if member == self.me}
        opening = (asked - given) | set(self.complete())
        return (set() if self.scores else opening) | set(self.statements())

    def judge(self):
        if self.opened and self.me not in self.on_these_sums():
            yield do.PostVerdict()

    def turn(self) -> float:
        """Of those whose proposals named the opened sums the best-ranked goes first, the others by rank."""
        same = [p for p in self.proposals if self.opened and p.body.sums_root == self.opened.body.sums_root]
        ranks = [s.RANKING.index(s.ADDRESSES.index(p.issuer)) for p in same if p.id in self.verified]
        return 0.0 if self.rank == min(ranks, default=None) else max(2.0, self.plan.slot_seconds / 4) * (self.rank + 1)

    def write(self):
        if self.opened is None or self.quorum_at is None or self.endorsed:
            return
        rows, waited = self.on_these_sums(), self.now - self.quorum_at
        patience = self.plan.slot_seconds if self.statements() else 0
        if (len(rows) == s.N or waited >= max(2.0, self.plan.slot_seconds / 4)) and waited >= self.turn() + patience:
            yield do.WriteStatement(self.opened.id, tuple(sorted(tx.id for tx in rows.values())))

    def endorse(self):
        if self.endorsed:
            if self.me not in self.signatures():
                yield do.PostCheckpoint(self.endorsed)
            return
        yield from self.statements()[:1]

    def statements(self) -> list[do.VerifyStatement]:
        """Others' statements about the sums that were opened here."""
        found = []
        for c in self.checkpoints if self.opened and not self.endorsed else ():
            known = next((p for p in self.proposals if p.id == c.body.proposal), None)
            same = known and known.body.sums_root == self.opened.body.sums_root
            if same and c.body.statement not in self.refused:
                found.append(do.VerifyStatement(c.body.statement, c.body.proposal))
        return found

    def finalise(self):
        if self.endorsed and self.sendable_at is not None and self.now - self.sendable_at >= self.turn():
            yield do.Finalise(self.endorsed)
