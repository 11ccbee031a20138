"""Faults brought to a real chain by themselves: contradictions, false lists, omissions; by one member, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from chain.conduct import Fault
from chain.votes import Finding, Removal, sign_vote
from dag.equivocation import EquivocationProof
from dag.transaction import Transaction
from node.config import Membership
from node.consortium.follower import Follower
from node.membership import prosecutor as module
from node.membership.book import MotionBook
from node.membership.charges import listed_in
from node.membership.council import Council
from node.membership.evidence import MAX_KEPT, Evidence
from node.membership.exchange import Exchange
from node.membership.findings import Seen, seen_in
from node.membership.prosecutor import Prosecutor
from node.rounds.journal import Journal
from tests.chain.ledger import Writer, on_record, place
from tests.chain.support import Consortium
from tests.chain.test_conduct import past_of

LEADER = 1


class Held:
    """A ledger as far as charges look into it: what is attached, and who contradicted itself."""

    def __init__(self, *transactions: Transaction, proofs: tuple[EquivocationProof, ...] = ()) -> None:
        self.transactions = {tx.id: tx for tx in transactions}
        self.proofs = proofs

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self.transactions

    def get(self, tx_id: bytes) -> Transaction:
        return self.transactions[tx_id]

    def evidence(self) -> tuple[EquivocationProof, ...]:
        return self.proofs

    def read(self, question: object) -> object:
        return question(self)  # type: ignore[operator]


class Watcher:
    """One hospital that holds members to account."""

    def __init__(self, net: Consortium, k: int, held: Held, evidence: Evidence, **settings: object) -> None:
        self.chain = net.client(k)
        self.follower = Follower(self.chain)
        self.book = MotionBook(":memory:", net.deployment)
        exchange = Exchange(self.book, net.deployment, lambda: self.follower.view)
        council = Council(k, net.accounts[k], self.chain, self.book, exchange, lambda: (), 60.0)
        self.prosecutor = Prosecutor(
            k,
            self.chain,
            held,
            evidence,
            council,
            self.book,
            Membership(**settings),
            Seen,  # type: ignore[arg-type]
        )
        self.account = net.accounts[k].address
        self.net = net

    def step(self) -> None:
        self.follower.look()
        self.prosecutor.step(self.follower.view)

    @property
    def nonce(self) -> int:
        return int(self.chain._connection.w3.eth.get_transaction_count(self.account))


@pytest.fixture
def pens(consortium: Consortium) -> list[Writer]:
    consortium_id = consortium.deployment.consortium
    return [Writer(bytes(account.key), consortium_id) for account in consortium.accounts]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    return


def opened(consortium: Consortium) -> None:
    base = consortium.start_lineage()
    plan = consortium.client().rounds.get(0).plan
    consortium.client(0).rounds.open(plan, base, 10, 1000)


def test_an_equivocator_is_on_record_and_leads_last(consortium: Consortium, pens: list[Writer]) -> None:
    held = Held(proofs=(EquivocationProof.of(pens[2].update(), pens[2].update()),))
    watchers = [Watcher(consortium, k, held, Evidence(":memory:")) for k in (0, 1, 2)]
    before = [watcher.nonce for watcher in watchers]
    for _ in range(3):
        for watcher in watchers:
            watcher.step()
    view = watchers[0].follower.view
    assert view.faults == {(1, int(Fault.EQUIVOCATION), 2)}
    assert view.standing.reputations == (100, 100, 0, 100)
    assert view.standing.ranking(bytes(32))[-1] == 2
    spent = [watcher.nonce - nonce for watcher, nonce in zip(watchers, before, strict=True)]
    assert spent == [1, 0, 0], "one pays, the accused does not accuse itself"


def test_members_take_turns(consortium: Consortium, pens: list[Writer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_SECONDS", 3600.0)
    held = Held(proofs=(EquivocationProof.of(pens[0].update(), pens[0].update()),))
    later, first = (Watcher(consortium, k, held, Evidence(":memory:")) for k in (2, 1))
    later.step()
    later.step()
    assert later.follower.view.faults == frozenset(), "its turn has not come"
    first.step()
    later.step()
    assert len(later.follower.view.faults) == 1


@pytest.mark.parametrize("attached", [True, False], ids=["attached", "refused by the rules and kept"])
def test_a_lying_leaders_list_is_proven_wrong(consortium: Consortium, pens: list[Writer], *, attached: bool) -> None:
    opened(consortium)
    good, bad = pens[0].update(), pens[3].acknowledge(pens[0].update())
    proposal = pens[LEADER].propose((good.id, bad.id), good)
    record = on_record(proposal, consortium.accounts[LEADER].address)
    consortium.client(LEADER).rounds.propose(1, record.id, record.updates_root, record.sums_root)
    evidence = Evidence(":memory:")
    if not attached:
        evidence.keep([proposal.raw])
    watcher = Watcher(consortium, 0, Held(good, bad, *((proposal,) if attached else ())), evidence)
    for _ in range(3):
        watcher.step()
    assert watcher.follower.view.faults == {(1, int(Fault.WRONG_INCLUSION), LEADER)}
    assert watcher.follower.view.standing.reputations == (100, 50, 100, 100)


def test_an_honest_list_is_left_alone(consortium: Consortium, pens: list[Writer]) -> None:
    opened(consortium)
    updates = pens[0].update(), pens[3].update()
    proposal = pens[LEADER].propose(tuple(tx.id for tx in updates), updates[0])
    record = on_record(proposal, consortium.accounts[LEADER].address)
    consortium.client(LEADER).rounds.propose(1, record.id, record.updates_root, record.sums_root)
    watcher = Watcher(consortium, 0, Held(*updates, proposal), Evidence(":memory:"))
    watcher.step()
    assert watcher.prosecutor.charges(watcher.follower.view, Seen()) == []


def test_a_list_out_of_order_is_proven_wrong(consortium: Consortium, pens: list[Writer]) -> None:
    """No node's rules read such a list; its bytes and the root on chain are enough."""
    from dag import codec
    from dag.ids import sha256
    from dag.proofs import merkle

    opened(consortium)
    leaves = tuple(sorted((pens[0].update().id, pens[3].update().id), reverse=True))
    raw = codec.encode({"body": {"updates": leaves}, "kind": "proposal"})
    assert listed_in(raw) == leaves
    chain = consortium.client(LEADER)
    chain.rounds.propose(1, sha256(raw), merkle.root(leaves), sha256(b"sums"))
    evidence = Evidence(":memory:")
    evidence.keep([raw])
    watcher = Watcher(consortium, 0, Held(), evidence)
    for _ in range(2):
        watcher.step()
    assert watcher.follower.view.faults == {(1, int(Fault.WRONG_INCLUSION), LEADER)}


def test_an_omission_of_what_was_no_update_is_taken_back(consortium: Consortium, pens: list[Writer]) -> None:
    """Whoever posts garbage can bring its omission; once a quorum says what it was, the leader is cleared."""
    opened(consortium)
    past = past_of(pens)
    listed = tuple(sorted(pens[LEADER].update().id for _ in range(3)))
    proposal = pens[LEADER].propose(listed, past[-1])
    record = on_record(proposal, consortium.accounts[LEADER].address)
    consortium.client(LEADER).rounds.propose(1, record.id, record.updates_root, record.sums_root)
    after = sum(leaf < past[0].id for leaf in listed)
    around = [place(listed, at) for at in (after - 1, after) if 0 <= at < len(listed)]
    guilty = consortium.client(0)
    guilty.rounds.prove_omission(record, [tx.raw for tx in [*past, proposal]], 3, around)
    watcher = Watcher(consortium, 2, Held(), Evidence(":memory:"))
    watcher.step()
    watcher.step()
    assert watcher.follower.view.faults == {(1, int(Fault.OMISSION), LEADER)}, "nothing speaks against it yet"
    finding = Finding(round=1, fault=Fault.BAD_UPDATE, members=1 << 0, evidence=past[0].id)
    guilty.rounds.record_finding(
        finding, {k: sign_vote(finding, consortium.deployment, consortium.accounts[k]) for k in (1, 2, 3)}
    )
    for _ in range(3):
        watcher.step()
    assert watcher.follower.view.faults == {(1, int(Fault.BAD_UPDATE), 0)}
    assert watcher.follower.view.standing.reputations[LEADER] == 100


def test_whoever_is_told_not_to_challenges_nobody(consortium: Consortium, pens: list[Writer]) -> None:
    held = Held(proofs=(EquivocationProof.of(pens[2].update(), pens[2].update()),))
    watcher = Watcher(consortium, 0, held, Evidence(":memory:"), challenge=False)
    watcher.step()
    watcher.step()
    assert watcher.follower.view.faults == frozenset()


def test_a_low_reputation_is_proposed_for_removal_and_no_more(consortium: Consortium, pens: list[Writer]) -> None:
    held = Held(proofs=(EquivocationProof.of(pens[2].update(), pens[2].update()),))
    watcher = Watcher(consortium, 0, held, Evidence(":memory:"), propose_removal_below=30)
    for _ in range(4):
        watcher.step()
    (motion,) = watcher.book.live()
    assert isinstance(motion.vote, Removal)
    assert motion.vote.account == consortium.accounts[2].address
    assert list(watcher.book.signatures(motion)) == [consortium.accounts[0].address]
    assert watcher.follower.view.members == {0, 1, 2, 3}, "people remove members"


def test_who_is_left_out_of_the_sums_again_and_again_is_proposed_for_removal(consortium: Consortium) -> None:
    watcher = Watcher(consortium, 0, Held(), Evidence(":memory:"), propose_removal_after=20)
    watcher.prosecutor._seen = lambda: Seen(left_out={2: 19})
    watcher.step()
    assert not list(watcher.book.live())
    watcher.prosecutor._seen = lambda: Seen(left_out={2: 20, 7: 60})
    for _ in range(4):
        watcher.step()
    (motion,) = watcher.book.live()
    assert isinstance(motion.vote, Removal)
    assert motion.vote.account == consortium.accounts[2].address


def test_left_out_is_counted_over_the_last_rounds_that_this_node_judged(consortium: Consortium) -> None:
    journal = Journal(":memory:")
    for number, seats in ((1, [1]), (2, [1, 3]), (70, [3]), (71, [3])):
        journal.remember(number, "suspected", {"left_out": seats, "suspicion": {}})
    state = SimpleNamespace(facts=SimpleNamespace(round=71), refused={}, proposals={}, unlocked={})
    runner = SimpleNamespace(state=state, ports=SimpleNamespace(journal=journal))
    view = Watcher(consortium, 0, Held(), Evidence(":memory:")).follower.view
    assert seen_in({71: runner}, view, Held()).left_out == {3: 2}  # type: ignore[arg-type]
    assert seen_in({}, view, Held()).left_out == {}  # type: ignore[arg-type]


def test_only_lists_are_kept_and_the_oldest_go(tmp_path: Path, pens: list[Writer]) -> None:
    evidence = Evidence(tmp_path / "evidence.sqlite")
    lists = [pens[LEADER].propose((pens[0].update().id,), pens[0].update()).raw for _ in range(MAX_KEPT + 3)]
    evidence.keep([b"garbage", pens[0].update().raw, *lists, *lists[-1:]])
    evidence.close()
    again = Evidence(tmp_path / "evidence.sqlite")
    assert list(again.kept().values()) == lists[3:]
    assert (tmp_path / "evidence.sqlite").stat().st_mode & 0o077 == 0
    again.close()


@pytest.mark.parametrize("raw", [b"", b"\xa0", b"\xa1\x64body\xa1\x67updates\x81\x01", b"\xff" * 100])
def test_bytes_that_list_nothing(raw: bytes) -> None:
    assert listed_in(raw) == ()


def test_a_watcher_that_has_left_does_nothing(consortium: Consortium) -> None:
    watcher = Watcher(consortium, 0, Held(), Evidence(":memory:"))
    watcher.prosecutor._publisher = SimpleNamespace(read=None)
    watcher.prosecutor.step(watcher.follower.view)  # the view is empty: nobody is a member
