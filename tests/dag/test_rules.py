"""Each rule at the door, broken once."""

from dataclasses import replace

import pytest

from dag.bodies import AcknowledgementBody, CheckpointBody, Kind, ShareBody, VerdictBody
from dag.errors import (
    MissingParent,
    NotAMember,
    RefusedTransaction,
    Unconfirmed,
    WrongConsortium,
    WrongEpoch,
    WrongParameters,
    WrongProposal,
    WrongReference,
    WrongReveal,
    WrongRound,
    WrongWeight,
)
from dag.ids import sha256
from dag.ledger import Ledger
from dag.rules import verify_transaction
from dag.store import Store
from dag.transaction import address_of, genesis
from tests.dag.support import context, create, key, ledger, post, proposal_body, secret, terms, update_body

QUIET = AcknowledgementBody(None)


@pytest.fixture
def book() -> Ledger:
    return ledger()


def refuse(book: Ledger, body, error: type[RefusedTransaction], match: str | None = None, **changes) -> None:
    parents = changes.pop("parents", (book.genesis_id, book.genesis_id))
    with pytest.raises(error, match=match):
        book.receive(post(parents, body, **changes).raw)
    assert all(tx.kind is Kind.GENESIS or tx.body != body for tx in book.transactions())


def test_who_when_and_where(book):
    refuse(book, QUIET, NotAMember, member=9)
    refuse(book, QUIET, WrongConsortium, consortium=sha256(b"another"))
    refuse(book, QUIET, WrongRound, round_=9)
    refuse(book, QUIET, WrongEpoch, epoch=2)
    foreign = genesis(context().consortium, 1, b"r" * 20)
    with pytest.raises(WrongConsortium, match="genesis"):
        book.receive(foreign.raw)


def test_parents_come_first(book):
    orphan = post((book.genesis_id, sha256(b"nowhere")), QUIET)
    with pytest.raises(MissingParent) as caught:
        verify_transaction(orphan, context(), book)
    assert caught.value.ids == (sha256(b"nowhere"),)


def test_updates(book):
    refuse(book, replace(update_body(), weight_ppm=update_body().weight_ppm + 1), WrongWeight, "eq. 19")
    refuse(book, replace(update_body(), slots=5), WrongWeight, "the plan allows 4")
    refuse(book, replace(update_body(), parameter_set=b"q" * 16), WrongParameters, "parameter set")
    refuse(book, replace(update_body(), layout=sha256(b"other")), WrongParameters, "layout")


def test_a_plan_may_leave_the_layout_open():
    open_ = replace(context(), rounds={1: terms(layout=None)})
    body = replace(update_body(), layout=sha256(b"any"))
    free = Ledger(Store(":memory:"), lambda: open_)
    assert free.receive(post((free.genesis_id,) * 2, body).raw).attached


def test_reveals(book):
    update = create(book, 0, update_body(0))
    on_it = (update.id, update.id)
    refuse(book, AcknowledgementBody(sha256(b"wrong")), WrongReveal, "commitment", parents=on_it, sequence=1)
    refuse(book, AcknowledgementBody(secret(0)), WrongReveal, "past cone", sequence=1)
    refuse(book, AcknowledgementBody(secret(1)), WrongReveal, "past cone", member=1, parents=on_it)
    for seed in range(5):
        create(book, 1 + seed % 2, QUIET, seed=seed)
    reveal = create(book, 0, AcknowledgementBody(secret(0)))
    assert book.in_cone(update.id, [reveal.id])


def confirmed_round(book: Ledger) -> tuple[bytes, ...]:
    """Four updates that everybody approves; returns their ids ascending."""
    made = [create(book, m, update_body(m), seed=m) for m in range(4)]
    for turn in range(4):
        for m in range(4):
            create(book, m, QUIET, seed=10 * turn + m)
    return tuple(sorted(tx.id for tx in made))


@pytest.fixture
def updates(book) -> tuple[bytes, ...]:
    return confirmed_round(book)


def head(book: Ledger) -> tuple[bytes, bytes]:
    return book.proposal_basis(1, address_of(key(0))).parents


def test_a_good_proposal_enters(book, updates):
    reveal = create(book, 1, AcknowledgementBody(secret(1)))
    create(book, 0, QUIET, parents=(reveal.id, book.tips()[0]))
    basis = book.proposal_basis(1, address_of(key(0)))
    assert basis.updates == updates
    assert basis.reveals == (reveal.id,)
    made = create(book, 0, proposal_body(updates, basis.reveals, ((0, 3), (1, 2))), parents=basis.parents)
    assert made.id in book
    assert create(book, 2, proposal_body(updates, attempt=1)).id in book, "parents are found without help, too"


def test_proposals_that_contradict_themselves(book, updates):
    def broken(error, match, **changes):
        refuse(book, replace(proposal_body(updates), **changes), error, match, parents=head(book), sequence=99)

    broken(WrongProposal, "roots?", updates_root=sha256(b"x"))
    broken(WrongProposal, "roots?", sums_root=sha256(b"x"))
    broken(WrongProposal, "sums for", sums=proposal_body(updates).sums * 2)
    broken(WrongProposal, "exactly once", groups=((0, 1, 2),))
    broken(WrongProposal, "openers", openers=(0, 1))
    broken(WrongProposal, "openers", openers=(0, 1, 4))
    doubled = proposal_body(updates, groups=((0, 1, 2), (2, 3)))
    refuse(book, doubled, WrongProposal, "exactly once", parents=head(book), sequence=99)
    small = proposal_body(updates, groups=((0, 1, 2), (3,)))
    refuse(book, small, WrongProposal, "at least 2", parents=head(book), sequence=99)


def test_proposals_that_refer_to_what_is_not_there(book, updates):
    unknown = tuple(sorted((*updates, sha256(b"unknown"))))
    refuse(book, proposal_body(unknown), WrongReference, "past cone", parents=head(book), sequence=99)
    not_update = tuple(sorted((*updates, book.transactions(Kind.ACKNOWLEDGEMENT)[0].id)))
    refuse(book, proposal_body(not_update), WrongReference, "expected a update", parents=head(book), sequence=99)
    quiet = (book.transactions(Kind.ACKNOWLEDGEMENT)[0].id,)
    refuse(book, proposal_body(updates, quiet), WrongReference, "reveals nothing", parents=head(book), sequence=99)


def test_reveals_belong_to_listed_updates(book, updates):
    reveal = create(book, 1, AcknowledgementBody(secret(1)))
    parents = (reveal.id, head(book)[0])
    others = tuple(tx_id for tx_id in updates if book.get(tx_id).issuer != address_of(key(1)))
    refuse(book, proposal_body(others, (reveal.id,)), WrongReference, "without a listed", parents=parents, sequence=99)


def test_unconfirmed_updates_cannot_be_proposed(book):
    one = create(book, 0, update_body(0))
    two = create(book, 1, update_body(1), parents=(one.id, one.id))
    both = tuple(sorted((one.id, two.id)))
    parents = (two.id, two.id)
    refuse(
        book, proposal_body(both), Unconfirmed, "has 2 approving members, 3 are needed", parents=parents, sequence=99
    )
    third = create(book, 2, QUIET, parents=parents)
    assert create(book, 3, proposal_body(both), parents=(third.id, third.id)).id in book


def test_a_void_proposer_does_not_count_itself(book):
    one = create(book, 0, update_body(0))
    two = create(book, 1, update_body(1), parents=(one.id, one.id))
    both = tuple(sorted((one.id, two.id)))
    forks = [post((two.id,) * 2, AcknowledgementBody(None), 3, round_=round_) for round_ in (1, 2)]
    halves = tuple(fork.id for fork in forks)
    on_both = post(halves, QUIET, 2, sequence=88)
    book.receive_many([on_both.raw, *(fork.raw for fork in forks)])
    proposal = post((on_both.id,) * 2, proposal_body(both), 3, sequence=2)
    book.receive(post((proposal.id,) * 2, QUIET, 2, sequence=89).raw)
    with pytest.raises(Unconfirmed, match="has 2 approving"):
        book.receive(proposal.raw)


def test_one_update_a_member(book, updates):
    genesis = (book.genesis_id, book.genesis_id)
    member = next(m for m in range(4) if address_of(key(m)) == book.get(updates[0]).issuer)
    second = post(genesis, update_body(member, samples=60), member, sequence=77)
    on_it = post((second.id, book.tips()[0]), QUIET, (member + 1) % 4, sequence=77)
    book.receive_many([on_it.raw, second.raw])
    both = tuple(sorted((*updates, second.id)))
    parents = (on_it.id, head(book)[0])
    refuse(book, proposal_body(both), Unconfirmed, "has 0 approving", parents=parents, sequence=99, member=3)


def test_shares_verdicts_and_checkpoints(book, updates):
    body = proposal_body(updates, (), ((0, 3), (1, 2)))
    before = head(book)
    proposal = create(book, 0, body, parents=before).id
    on_it = (proposal, proposal)
    aside = {"parents": before, "sequence": 99}
    onward = {"parents": on_it, "sequence": 99}
    refuse(book, ShareBody(proposal, 0), WrongReference, "past cone", **aside)
    refuse(book, ShareBody(proposal, 1), WrongReference, "not the issuer", **onward)
    refuse(book, ShareBody(proposal, 3), WrongReference, "openers", member=3, **onward)
    refuse(book, ShareBody(updates[0], 0), WrongReference, "expected a proposal", **onward)
    refuse(book, VerdictBody(proposal, (1,), 1, (True,), 1), WrongReference, "2 groups", **onward)
    good = CheckpointBody(proposal, b"m" * 32, b"s" * 32, b"o" * 65, book.round_root(proposal))
    refuse(book, replace(good, root=sha256(b"x")), WrongReference, "root", **onward)
    refuse(book, good, WrongReference, "of round 2", round_=2, **onward)
    for made in (ShareBody(proposal, 0), VerdictBody(proposal, (1, 2), 1, (True, False), 1), good):
        posted = create(book, 0, made)
        assert book.posted(address_of(key(0)), made.kind, proposal) == posted.id
    assert book.posted(address_of(key(1)), Kind.SHARE, proposal) is None


def test_refusals_name_the_transaction(book):
    bad = post((book.genesis_id,) * 2, QUIET, member=9)
    with pytest.raises(RefusedTransaction, match=bad.id.hex()[:16]) as caught:
        book.receive(bad.raw)
    assert caught.value.tx_id == bad.id


def test_a_proposal_takes_the_pair_of_tips_that_confirms_most(book):
    """No single tip confirms both updates, and the two that approve most updates are not the pair."""
    one = create(book, 0, update_body(0))
    two = create(book, 1, update_body(1), parents=(book.genesis_id, book.genesis_id))
    left = create(book, 2, QUIET, parents=(one.id, one.id))
    left = create(book, 3, QUIET, parents=(left.id, left.id))
    right = create(book, 2, QUIET, parents=(two.id, two.id))
    right = create(book, 3, QUIET, parents=(right.id, right.id))
    for number in range(3):
        create(book, 2, QUIET, seed=number, parents=(one.id, one.id))
    basis = book.proposal_basis(1, address_of(key(0)))
    assert set(basis.parents) == {left.id, right.id}
    assert set(basis.updates) == {one.id, two.id}
