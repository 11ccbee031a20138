"""Ways to lead badly: killed, silent, or lying. One class each; the name is what a schedule calls it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from dag.bodies import AcknowledgementBody, CheckpointBody, Kind
from dag.gathering import parents_over
from node.errors import RoundProblem
from node.rounds import effects as do
from node.rounds.records import SumManifest
from node.rounds.state import Endorsed
from node.rounds.statement import Statement
from node.rounds.steps import aggregate, conclude, learn
from node.storage import raw_cid
from tests.flow.liveness.faulty import Faulty

if TYPE_CHECKING:
    from node.rounds.effects import Effect
    from node.rounds.state import Proposal


# ---- killed ---------------------------------------------------------------------------------------------------------


class Killed(Faulty):
    """Dies for good as it is about to do a step."""

    step: ClassVar[type] = do.Propose

    def instead(self, effect: Effect) -> bool:
        if not isinstance(effect, self.step):
            return False
        self.net.crash(self.node, None)
        return True


class KilledOnceAnchored(Faulty):
    """Its proposal stands and can be opened, by others than it."""

    usable = True

    def then(self, effect: Effect) -> None:
        if isinstance(effect, do.Propose) and any(a.leader == self.node.index for a in self.net.anchored(self.number)):
            self.net.crash(self.node, None)


class KilledBeforeAnchoring(Faulty):
    """Its proposal is in the ledger and never comes to the chain."""

    def instead(self, effect: Effect) -> bool:
        return isinstance(effect, do.Propose) and self.lie(effect)

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        self.post(Kind.PROPOSAL, self.body(basis.updates, basis.reveals), parents=basis.parents)
        self.net.after(0.2, ("call", self.node.index, lambda: self.net.crash(self.node, None)))


class KilledScoring(Killed):
    """Has opened the sums; nobody hears its verdict."""

    usable = True
    step = do.PostVerdict


class KilledWriting(Killed):
    """Everybody waits for its statement."""

    usable = True
    step = do.WriteStatement


class KilledSending(Killed):
    """Holds all signatures and sends nothing."""

    usable = True
    step = do.Finalise


class KilledAndBack(Faulty):
    """Dies with its proposal half published and comes back two slots later."""

    usable = True

    def instead(self, effect: Effect) -> bool:
        if isinstance(effect, do.Propose) and not self.done:
            self.done = True
            with suppress(RoundProblem):  # too early: it dies with nothing posted
                basis = self.basis(effect)
                self.post(Kind.PROPOSAL, self.body(basis.updates, basis.reveals), parents=basis.parents)
            self.net.crash(self.node, 2.0 * self.state.plan.slot_seconds)
            return True
        return False


# ---- silent ---------------------------------------------------------------------------------------------------------


class Silent(Faulty):
    """Does everything but lead."""

    def instead(self, effect: Effect) -> bool:
        return isinstance(effect, do.Propose)


class SilentOnceAnchored(Faulty):
    """Proposes, and then does nothing at all."""

    usable = True

    def instead(self, effect: Effect) -> bool:
        later = do.ReleaseShare | do.OpenAndScore | do.PostVerdict | do.WriteStatement | do.PostCheckpoint | do.Finalise
        return isinstance(effect, later | do.VerifyStatement)


class Late(Faulty):
    """Proposes when another's turn has long begun: two honest proposals stand on chain."""

    usable = True

    def instead(self, effect: Effect) -> bool:
        if not isinstance(effect, do.Propose) or self.done:
            return False
        self.done = True
        self.net.after(1.6 * self.state.plan.slot_seconds, ("effect", self.node.index, effect))
        return True


class Early(Faulty):
    """The second leader does not wait for its turn."""

    rank = 1
    usable = True

    def then(self, effect: Effect) -> None:
        if (
            isinstance(effect, do.Unlock)
            and not self.done
            and all(u.id in self.state.unlocked for u in self.state.updates)
        ):
            self.lie(do.Propose(0, (), (), repeats=False))

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        self.publish(self.body(basis.updates, basis.reveals), basis.parents)

    def again(self, effect: Effect) -> None:
        """The next unlocked update is the next chance."""


# ---- lying ----------------------------------------------------------------------------------------------------------


class Lying(Faulty):
    """Proposes something false."""

    def instead(self, effect: Effect) -> bool:
        return isinstance(effect, do.Propose) and self.lie(effect)


class WrongSum(Lying):
    """One update of a group is not in its sum."""

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        honest = self.body(basis.updates, basis.reveals)
        group = honest.groups[0]
        (added,) = aggregate._sums(self.ports, self.state, self.state.plan, honest.updates, (group[:-1],))
        short = SumManifest.from_bytes(self.ports.blobs.obtain(added))
        false = replace(short, updates=tuple(honest.updates[i] for i in group))
        sums = (self.ports.blobs.store.put(false.to_bytes()), *honest.sums[1:])
        self.publish(self.with_sums(honest, sums), basis.parents)


class OmittedUpdate(Lying):
    """Leaves out an update that its own proposal's past shows."""

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        victim = self.rng.choice([u for u in self.state.updates if u.id in basis.updates])
        dropped = {tx_id for tx_id, member, _ in self.state.reveals if member == victim.issuer}
        updates = tuple(u for u in basis.updates if u != victim.id)
        reveals = tuple(r for r in basis.reveals if r not in dropped)
        self.publish(self.body(updates, reveals), basis.parents)


class WrongGroups(Lying):
    """Chooses who is summed with whom."""

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        honest = self.body(basis.updates, basis.reveals)
        count = len(honest.updates)
        turned = tuple(sorted(tuple(sorted((i + 1) % count for i in group)) for group in honest.groups))
        if turned == honest.groups:
            turned = (tuple(range(count)),) if len(honest.groups) > 1 else tuple((i,) for i in range(count))
        sums = tuple(aggregate._sums(self.ports, self.state, self.state.plan, honest.updates, turned))
        self.publish(self.with_sums(replace(honest, groups=turned), sums), basis.parents)


class ForgedReveals(Lying):
    """Reveals once more and lists the second time: another set of ids for the same values."""

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        value = learn.reveal_for(self.ports, self.state)
        again = self.post(Kind.ACKNOWLEDGEMENT, AcknowledgementBody(value), parents=basis.parents)
        own = {tx_id for tx_id, member, _ in self.state.reveals if member == self.node.index}
        reveals = tuple(sorted({*basis.reveals} - own | {again.id}))
        self.publish(self.body(basis.updates, reveals), (again.id, again.id))


class DoubleProposal(Lying):
    """Two proposals of the same sums with other openers; the chain has the second."""

    usable = True

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        honest = self.body(basis.updates, basis.reveals)
        openers = self.rng.sample(sorted(self.state.members.seats), self.state.plan.threshold)
        other = replace(honest, openers=tuple(sorted(openers)), attempt=7)
        self.post(Kind.PROPOSAL, honest, parents=basis.parents)
        self.publish(other, basis.parents)


class OtherRoots(Lying):
    """What the chain has is not what the ledger has."""

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        honest = self.body(basis.updates, basis.reveals)
        posted = self.post(Kind.PROPOSAL, honest, parents=basis.parents)
        self.anchor(posted.id, replace(honest, sums_root=hashlib.sha256(b"other sums").digest()))


class NeverShown(Lying):
    """Anchors a proposal that nobody ever sees."""

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        self.anchor(hashlib.sha256(b"never shown").digest(), self.body(basis.updates, basis.reveals))


class NoSums(Lying):
    """Lists sums that are no sums: random bytes, and junk on the wire."""

    def propose(self, effect: do.Propose) -> None:
        basis = self.basis(effect)
        honest = self.body(basis.updates, basis.reveals)
        sums = tuple(self.ports.blobs.store.put(self.rng.randbytes(500)) for _ in honest.sums)
        posted = self.publish(self.with_sums(honest, sums), basis.parents)
        for junk in (b"", self.rng.randbytes(900), posted.encode(), posted.encode()[:-9], b"\xa1" * 5000):
            self.tell_all(junk)


class NarrowCone(Lying):
    """Keeps closes and reveals out of its proposal's past, and with them a member's update; that is allowed (threat model, gap 4)."""

    usable = True

    def propose(self, effect: do.Propose) -> None:
        self.basis(effect)
        victim = self.rng.choice([u.issuer for u in self.state.updates if u.issuer != self.node.index])
        shown = [t for t, _ in self.state.closes] + [t for t, member, _ in self.state.reveals if member != victim]
        ledger, number = self.ports.ledger, self.number
        parents = ledger.read(lambda book: parents_over(book.tangle, shown))
        for pair in (parents, *((tx_id, tx_id) for tx_id in shown)):
            basis = aggregate._sound(self.ports, self.state, ledger.proposal_basis(number, pair))
            issuers = {u.issuer for u in self.state.updates if u.id in basis.updates}
            if victim not in issuers and len(basis.updates) >= self.state.plan.min_group:
                break
        else:
            basis = self.basis(effect)
        self.publish(self.body(basis.updates, basis.reveals), basis.parents)


# ---- statements -----------------------------------------------------------------------------------------------------


class FalseStatement(Faulty):
    """Signs a statement with another model in it."""

    usable = True

    def instead(self, effect: Effect) -> bool:
        if not isinstance(effect, do.WriteStatement):
            return isinstance(effect, do.VerifyStatement)
        proposal = self.state.proposals[effect.proposal]
        honest = self.statement(proposal, effect.verdicts, conclude.software())
        model = honest.predicate.model.model_copy(update={"sha256": hashlib.sha256(b"another").hexdigest()})
        self.sign(Statement.of(honest.predicate.model_copy(update={"model": model})), shown=True)
        return True

    def statement(self, proposal: Proposal, verdicts: tuple[bytes, ...], writer: str) -> Statement:
        """A true statement."""
        shares = self.state.shares_for(proposal)
        return conclude.build_statement(self.ports, self.state, proposal, verdicts, shares, writer)

    def sign(self, statement: Statement, *, shown: bool) -> None:
        """Post a checkpoint of a statement; its bytes can be had from here, or from nowhere."""
        self.ports.blobs.store.put(statement.to_bytes())
        if not shown:
            self.net.hidden.add(raw_cid(statement.digest))
        self.node.runner.feed([Endorsed(statement.digest)])


class HiddenStatement(FalseStatement):
    """Signs a true statement and shows it to nobody."""

    def instead(self, effect: Effect) -> bool:
        if not isinstance(effect, do.WriteStatement):
            return isinstance(effect, do.VerifyStatement)
        proposal = self.state.proposals[effect.proposal]
        writer = f"{conclude.software()} (hidden)"
        self.sign(
            self.statement(proposal, effect.verdicts, writer),
            shown=False,
        )
        return True


class TwoStatements(FalseStatement):
    """Signs two true statements and tells each half one of them: members sign one a round, so that neither may get a quorum."""

    splits = True

    def instead(self, effect: Effect) -> bool:
        if not isinstance(effect, do.PostCheckpoint):
            return False
        opened = self.state.proposals[self.state.scores.proposal]
        first = Statement.from_bytes(self.ports.blobs.obtain(raw_cid(effect.statement)))
        counted = tuple(bytes.fromhex(v.id) for v in first.predicate.verdicts)
        second = self.statement(opened, counted, f"{conclude.software()} (second)")
        self.ports.blobs.store.put(second.to_bytes())
        conclude.post_checkpoint(self.ports, self.state, first.digest)
        said = self.said(Kind.CHECKPOINT)
        outcome = conclude.outcome_of(second)
        body = replace(
            said.body,
            statement=second.digest,
            outcome_signature=self.ports.chain.sign(outcome),
            statement_signature=self.ports.sign_statement(second.to_bytes()),
        )
        self.contradict(said, body, raw_cid(second.digest))
        return True


class BadSignature(Faulty):
    """Signs with bytes that are no signature."""

    usable = True

    def instead(self, effect: Effect) -> bool:
        if not isinstance(effect, do.PostCheckpoint):
            return False
        statement = Statement.from_bytes(self.ports.blobs.obtain(raw_cid(effect.statement)))
        outcome = conclude.outcome_of(statement)
        body = CheckpointBody(
            proposal=outcome.proposal,
            model=outcome.model,
            statement=effect.statement,
            outcome_signature=self.rng.randbytes(65),
            statement_signature=self.rng.randbytes(65),
            root=bytes.fromhex(statement.predicate.ledger_root),
        )
        self.post(Kind.CHECKPOINT, body, payload=raw_cid(effect.statement))
        return True


LEADERS: dict[str, type[Faulty]] = {
    "killed-before-proposing": Killed,
    "silent": Silent,
    "wrong-sum": WrongSum,
    "omitted-update": OmittedUpdate,
    "double-proposal": DoubleProposal,
    "wrong-groups": WrongGroups,
    "forged-reveals": ForgedReveals,
    "two-statements": TwoStatements,
    "no-sums": NoSums,
    "late": Late,
    "killed-once-anchored": KilledOnceAnchored,
    "killed-before-anchoring": KilledBeforeAnchoring,
    "killed-scoring": KilledScoring,
    "killed-writing": KilledWriting,
    "killed-sending": KilledSending,
    "killed-and-back": KilledAndBack,
    "silent-once-anchored": SilentOnceAnchored,
    "early": Early,
    "other-roots": OtherRoots,
    "never-shown": NeverShown,
    "narrow-cone": NarrowCone,
    "false-statement": FalseStatement,
    "hidden-statement": HiddenStatement,
    "bad-signature": BadSignature,
}
