"""The round's machine against a model of its own: every effect is due exactly when it should be.

The model keeps plain sets and says from them (`tests.rounds.oughts`) what ought to be going on. Hypothesis
drives both through any history of a round; after every event the machine must have started exactly what the model calls
for and what is neither running nor waiting for its next try.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dag.transaction import Transaction
from node.rounds import effects as do
from node.rounds import state as ev
from node.rounds.machine import apply
from tests.rounds import support as s
from tests.rounds.oughts import Oughts

MEMBERS = st.integers(0, s.N - 1)


class RoundModel(Oughts, RuleBasedStateMachine):
    """One member's round; `Oughts` is the specification."""

    @initialize(me=MEMBERS, stage=st.integers(0, 6))
    def begin(self, me: int, stage: int) -> None:
        """Some histories start where everything is posted, proposed, or opened, so that short ones reach the end."""
        self.me, self.rank = me, s.RANKING.index(me)
        self.state = s.fresh(me)
        self.now = float(s.OPENED_AT)
        self.plan = self.sealed = self.ending = self.endorsed = None
        self.adopted = False
        self.updates: dict[int, Transaction] = {}
        self.approvals: dict[bytes, int] = {}
        self.closers: set[int] = set()
        self.revealed: set[int] = set()
        self.unlocked: dict[bytes, str] = {}
        self.proposals: list[Transaction] = []
        self.anchors: list = []
        self.verified: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.shares: dict[tuple[bytes, int], Transaction] = {}
        self.scores = None
        self.verdicts: dict[tuple[bytes, int], Transaction] = {}
        self.checkpoints: list[Transaction] = []
        self.closed_at = self.revealable_at = self.quorum_at = self.sendable_at = None
        self.running: set = set()
        self.retry: dict = {}
        self.history: list = []
        self.sequence = 100
        self.feed(ev.Tick(self.now))
        if stage >= 1:
            self.plan_is_read()
            for member in range(s.N):
                self.update_arrives(member)
        if stage >= 2:
            for tx in self.updates.values():
                self.approvals[tx.id] = 0b1111
            self.attach(s.post(0, s.AcknowledgementBody(None), self.next_sequence()))
            for member in range(s.N):
                self.member_closes(member)
        if stage >= 3:
            self.proposal_arrives(2, {0, self.me or 3}, 1, on_chain=True)
            self.verified.add(self.proposals[0].id)
            self.feed(ev.ProposalVerified(self.proposals[0].id))
        if stage >= 4:
            self.scores = ev.Scores(self.proposals[0].id, (), 5, (5,), (True,), 9)
            self.feed(ev.Scored(self.scores))
        if stage >= 5:
            for member in range(s.QUORUM):
                tx = s.verdict(member, self.proposals[0], (True,))
                self.attach(self.verdicts.setdefault((self.proposals[0].id, member), tx))
        if stage >= 6:
            self.endorsed = s.digest("one")
            self.feed(ev.Endorsed(self.endorsed))

    # ---- driving both ----------------------------------------------------------------------------------------------

    def note_times(self) -> None:
        everyone = len(self.updates) == s.N
        if self.closed_at is None and (everyone or self.now >= s.COLLECT_BY):
            self.closed_at = self.now
        if self.revealable_at is None and len(self.closers) >= s.QUORUM:
            self.revealable_at = self.now
        if self.quorum_at is None and self.opened and len(self.on_these_sums()) >= s.QUORUM:
            self.quorum_at = self.now
        if self.sendable_at is None and len(self.signatures()) >= s.QUORUM:
            self.sendable_at = self.now

    def feed(self, event) -> None:
        """Give the machine an event, after the model took it in; compare what starts."""
        self.note_times()
        wanted = [e for e in self.ought() if e not in self.running and self.retry.get(e, 0) <= self.now]
        self.state, started = apply(self.state, event)
        besides = set(started) - set(wanted)
        assert [e for e in started if e not in besides] == wanted
        assert besides <= self.may()
        assert not set(started) & self.running
        self.running |= set(started)
        assert self.state.running == self.running
        self.history.append(event)

    def attach(self, tx: Transaction) -> None:
        self.feed(ev.Attached(tx, dict(self.approvals)))

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 4.0, 10.0, 40.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.feed(ev.Tick(self.now))

    @rule()
    def plan_is_read(self) -> None:
        self.plan = s.PLAN
        self.feed(ev.PlanRead(s.PLAN))

    @rule()
    def update_is_sealed(self) -> None:
        self.sealed = s.SEALED
        self.feed(ev.Sealed(s.SEALED))

    @rule(member=MEMBERS)
    def update_arrives(self, member: int) -> None:
        tx = self.updates.setdefault(member, s.update(member))
        self.approvals[tx.id] = self.approvals.get(tx.id, 0) | 1 << member
        self.attach(tx)

    @precondition(lambda self: self.updates)
    @rule(member=MEMBERS, data=st.data())
    def member_approves(self, member: int, data) -> None:
        for issuer in data.draw(st.sets(st.sampled_from(sorted(self.updates)), min_size=1)):
            self.approvals[self.updates[issuer].id] |= 1 << member
        self.attach(s.post(member, s.AcknowledgementBody(None), self.next_sequence()))

    @rule(member=MEMBERS)
    def member_closes(self, member: int) -> None:
        self.closers.add(member)
        self.attach(s.close(member))

    @precondition(lambda self: any(isinstance(e, do.Unlock) for e in self.running))
    @rule(problem=st.sampled_from(["", "", "no ciphertext"]))
    def update_is_unlocked(self, problem: str) -> None:
        effect = next(e for e in self.running if isinstance(e, do.Unlock))
        self.unlocked[effect.update] = problem
        self.feed(ev.Unlocked(effect.update, problem))
        self.finish(effect)

    @precondition(lambda self: self.updates)
    @rule(data=st.data())
    def member_reveals(self, data) -> None:
        member = data.draw(st.sampled_from(sorted(self.updates)))
        self.revealed.add(member)
        self.attach(s.reveal(member, sequence=50))

    @precondition(lambda self: self.updates)
    @rule(data=st.data())
    def member_reveals_something_else(self, data) -> None:
        """Not what it committed to: the ledger refuses it, and the machine would not count it either."""
        member = data.draw(st.sampled_from(sorted(self.updates)))
        self.attach(s.post(member, s.AcknowledgementBody(s.digest("other")), self.next_sequence()))

    @rule(member=MEMBERS, kind=st.sampled_from(["round", "epoch"]))
    def another_round_speaks(self, member: int, kind: str) -> None:
        where = {"round_": s.FACTS.round + 1} if kind == "round" else {"epoch": 2}
        self.attach(s.update(member, sequence=self.next_sequence(), **where))

    @precondition(lambda self: len(self.confirmed) >= 2 and len(self.proposals) < 4)
    @rule(
        leader=MEMBERS, openers=st.sets(MEMBERS, min_size=2, max_size=2), sums=st.integers(1, 2), on_chain=st.booleans()
    )
    def proposal_arrives(self, leader: int, openers: set[int], sums: int, on_chain: bool) -> None:
        if any(p.issuer == s.ADDRESSES[leader] for p in self.proposals):
            return
        cids = tuple(s.blob(f"sum {k}") for k in range(sums))
        updates = tuple(tx.id for tx in self.confirmed)
        tx = s.proposal(leader, updates, cids, tuple(sorted(openers)), len(self.proposals))
        self.proposals.append(tx)
        self.attach(tx)
        if on_chain:
            self.anchors.append(s.anchor(tx))
            self.feed(ev.Anchored(s.anchor(tx)))

    @precondition(lambda self: self.proposals)
    @rule(data=st.data())
    def chain_anchors(self, data) -> None:
        tx = data.draw(st.sampled_from(self.proposals))
        if s.anchor(tx) not in self.anchors:
            self.anchors.append(s.anchor(tx))
        self.feed(ev.Anchored(s.anchor(tx)))

    @precondition(lambda self: self.proposals)
    @rule(data=st.data())
    def chain_anchors_something_else(self, data) -> None:
        """A leader whose anchor names other sums than its proposal: that proposal is never verified."""
        tx = data.draw(st.sampled_from(self.proposals))
        false = replace(s.anchor(tx), sums_root=s.digest("other"))
        if false not in self.anchors:
            self.anchors.append(false)
        self.feed(ev.Anchored(false))

    @precondition(lambda self: any(isinstance(e, do.VerifyProposal) for e in self.running))
    @rule(good=st.booleans(), data=st.data())
    def proposal_is_judged(self, good: bool, data) -> None:
        asked = sorted((e for e in self.running if isinstance(e, do.VerifyProposal)), key=lambda e: e.proposal)
        effect = data.draw(st.sampled_from(asked))
        (self.verified if good else self.refused).add(effect.proposal)
        self.feed(ev.ProposalVerified(effect.proposal) if good else ev.Refused(effect.proposal, "why"))
        self.finish(effect)

    @precondition(lambda self: self.proposals)
    @rule(data=st.data())
    def share_arrives(self, data) -> None:
        about = data.draw(st.sampled_from(self.proposals))
        member = data.draw(st.sampled_from(about.body.openers))
        tx = self.shares.setdefault((about.id, member), s.share(member, about))
        self.attach(tx)

    @precondition(lambda self: any(isinstance(e, do.OpenAndScore) for e in self.running) and not self.scores)
    @rule()
    def sums_are_scored(self) -> None:
        effect = next(e for e in self.running if isinstance(e, do.OpenAndScore))
        groups = len(next(p for p in self.proposals if p.id == effect.proposal).body.groups)
        self.scores = ev.Scores(effect.proposal, effect.shares, 5, (5,) * groups, (True,) * groups, 9)
        self.feed(ev.Scored(self.scores))
        self.finish(effect)

    @precondition(lambda self: self.proposals)
    @rule(member=MEMBERS, data=st.data())
    def verdict_arrives(self, member: int, data) -> None:
        about = data.draw(st.sampled_from(self.proposals))
        tx = s.verdict(member, about, (True,) * len(about.body.groups))
        self.attach(self.verdicts.setdefault((about.id, member), tx))

    @precondition(lambda self: self.proposals)
    @rule(member=MEMBERS, name=st.sampled_from(["one", "two"]), data=st.data())
    def checkpoint_arrives(self, member: int, name: str, data) -> None:
        about = data.draw(st.sampled_from(self.proposals))
        tx = s.checkpoint(member, about, s.digest(name))
        if all(c.id != tx.id for c in self.checkpoints):
            self.checkpoints.append(tx)
        self.attach(tx)

    @precondition(lambda self: any(isinstance(e, do.VerifyStatement) for e in self.running) and not self.endorsed)
    @rule(good=st.booleans())
    def statement_is_judged(self, good: bool) -> None:
        effect = next(e for e in self.running if isinstance(e, do.VerifyStatement))
        if good:
            self.endorsed = effect.statement
            self.feed(ev.Endorsed(effect.statement))
        else:
            self.refused.add(effect.statement)
            self.feed(ev.Refused(effect.statement, "why"))
        self.finish(effect)

    @precondition(lambda self: any(isinstance(e, do.WriteStatement) for e in self.running) and not self.endorsed)
    @rule()
    def statement_is_written(self) -> None:
        self.endorsed = s.digest("one")
        self.feed(ev.Endorsed(self.endorsed))
        self.finish(next(e for e in self.running if isinstance(e, do.WriteStatement)))

    @precondition(lambda self: self.running)
    @rule(pause=st.sampled_from([0.5, 3.0, 15.0]), data=st.data())
    def effect_fails(self, pause: float, data) -> None:
        effect = data.draw(st.sampled_from(sorted(self.running, key=repr)))
        self.running.discard(effect)
        self.retry[effect] = self.now + pause
        self.feed(ev.Failed(effect, self.now + pause))

    def finish(self, effect) -> None:
        self.running.discard(effect)
        self.retry.pop(effect, None)
        self.feed(ev.Finished(effect))

    @precondition(lambda self: self.ending is None and len(self.history) > 25)
    @rule(finalised=st.booleans())
    def chain_ends_the_round(self, finalised: bool) -> None:
        self.ending = ev.Ending(finalised, s.digest("model"), s.digest("one"))
        self.feed(ev.Ended(self.ending))

    @precondition(lambda self: self.ending is not None)
    @rule()
    def model_is_adopted(self) -> None:
        self.adopted = True
        self.feed(ev.Adopted())

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def an_event_is_told_again(self, data) -> None:
        """From chain, clock or ledger; the ledger tells the approvals of now, whatever it tells about."""
        event = data.draw(st.sampled_from(self.history))
        if isinstance(event, ev.Attached):
            event = ev.Attached(event.transaction, dict(self.approvals))
        if isinstance(event, ev.Finished | ev.Failed):
            return
        if isinstance(event, ev.Scored | ev.Endorsed | ev.Refused | ev.ProposalVerified) and self.ending:
            return
        self.feed(event)

    @invariant()
    def knowledge_is_what_was_told(self) -> None:
        if not hasattr(self, "state"):
            return
        state = self.state
        assert {u.id for u in state.updates} == {tx.id for tx in self.updates.values()}
        assert [u.id for u in state.confirmed] == [tx.id for tx in self.confirmed]
        assert {member for _, member, _ in state.reveals} == self.revealed
        assert state.closers == self.closers
        assert dict(state.unlocked) == self.unlocked
        assert list(state.proposals) == [p.id for p in self.proposals]
        times = (self.closed_at, self.revealable_at, self.quorum_at, self.sendable_at)
        assert (state.closed_at, state.revealable_at, state.quorum_at, state.sendable_at) == times
        assert state.slot == self.slot


TestMachine = RoundModel.TestCase
TestMachine.settings = settings(
    max_examples=150,
    stateful_step_count=45,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
