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
from dag.store.sqlite import Store
from dag.transaction import address_of, genesis
from tests.dag.support import (
    close,
    context,
    create,
    key,
    ledger,
    post,
    proposal_body,
    reveal,
    secret,
    terms,
    update_body,
)

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
    close(book, 1)
    made = reveal(book, 0)
    assert book.in_cone(update.id, [made.id])
    assert set(book.closed_within((made.id,), 1)) == {1}


def closed_round(book: Ledger) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Four updates, closed and revealed by everybody; ids of updates and reveals, ascending."""
    made = [create(book, m, update_body(m), seed=m) for m in range(4)]
    for turn in range(4):
        for m in range(4):
            create(book, m, QUIET, seed=10 * turn + m)
    for m in range(4):
        close(book, m)
    told = [reveal(book, m) for m in range(4)]
    create(book, 0, QUIET, parents=(told[0].id, told[1].id))
    create(book, 0, QUIET, parents=(told[2].id, told[3].id))
    return tuple(sorted(tx.id for tx in made)), tuple(sorted(tx.id for tx in told))


@pytest.fixture
def closed(book) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    return closed_round(book)


@pytest.fixture
def updates(closed) -> tuple[bytes, ...]:
    return closed[0]


@pytest.fixture
def reveals(closed) -> tuple[bytes, ...]:
    return closed[1]


def head(book: Ledger) -> tuple[bytes, bytes]:
    return book.proposal_basis(1).parents


def test_a_good_proposal_enters(book, updates, reveals):
    basis = book.proposal_basis(1)
    assert basis.updates == updates
    assert basis.reveals == reveals
    made = create(book, 0, proposal_body(updates, reveals, ((0, 3), (1, 2))), parents=basis.parents)
    assert made.id in book
    assert create(book, 2, proposal_body(updates, reveals, attempt=1)).id in book, "parents are found without help, too"


def test_a_listed_update_may_be_in_no_sum(book, updates, reveals):
    """Who is under suspicion is listed and not summed; whether rightly so is for the members to derive."""
    parts = proposal_body(updates, reveals, groups=((0, 1, 3),))
    assert create(book, 2, parts).id in book


def cut_ledger(sections: int) -> Ledger:
    """A ledger whose first round's plan cuts updates into so many sections."""
    known = context()
    return Ledger(Store(":memory:"), lambda: replace(known, rounds={1: terms(sections=sections)}))


@pytest.mark.parametrize(
    ("allowed", "groups"),
    [
        (2, ((0, 1), (2, 3), (0, 2), (1, 3))),
        (2, ((0, 1, 2, 3), (0, 1, 2, 3))),
        (2, ((0, 1), (2, 3))),  # the model fills fewer ciphertexts than the plan has sections
        (2, ((0, 1, 2), (1, 2, 3))),  # who rests in one section is summed in the other
        (3, ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))),
    ],
)
def test_groups_of_several_sections_enter(allowed, groups):
    book = cut_ledger(allowed)
    updates, reveals = closed_round(book)
    assert create(book, 0, proposal_body(updates, reveals, groups), parents=head(book)).id in book


@pytest.mark.parametrize(
    ("allowed", "groups", "why"),
    [
        (1, ((0, 1), (2, 3), (0, 2), (1, 3)), "twice; the plan's sections allow 1"),
        (2, ((0, 1), (0, 2), (0, 3)), "3 times; the plan's sections allow 2"),
        (2, ((0, 1), (2, 3), (0, 1, 2, 3)), "3 groups are not as many in each of 2 sections"),
        (2, ((0, 1), (1, 2), (0, 3), (2, 3)), "section 0 hold an update twice"),
        (2, ((0, 1), (2, 3), (0, 1), (1, 2)), "3 times"),
        (3, ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (0, 1)), "4 times"),
        (3, ((0, 1), (2, 3), (0, 2), (1, 2), (0, 3), (1, 3)), "section 1 hold an update twice"),
        (2, ((0, 1), (2, 3), (0, 1, 2), (3,)), "at least 2"),
    ],
)
def test_groups_that_are_of_no_sections_are_refused(allowed, groups, why):
    book = cut_ledger(allowed)
    updates, reveals = closed_round(book)
    body = proposal_body(updates, reveals, groups)
    refuse(book, body, WrongProposal, why, parents=head(book), sequence=99)


def test_proposals_that_contradict_themselves(book, updates, reveals):
    def broken(error, match, **changes):
        refuse(book, replace(proposal_body(updates, reveals), **changes), error, match, parents=head(book), sequence=99)

    broken(WrongProposal, "roots?", updates_root=sha256(b"x"))
    broken(WrongProposal, "roots?", sums_root=sha256(b"x"))
    broken(WrongProposal, "sums for", sums=proposal_body(updates).sums * 2)
    broken(WrongProposal, "openers", openers=(0, 1))
    broken(WrongProposal, "openers", openers=(0, 1, 4))
    doubled = proposal_body(updates, reveals, groups=((0, 1, 2), (2, 3)))
    refuse(book, doubled, WrongProposal, "twice", parents=head(book), sequence=99)
    small = proposal_body(updates, reveals, groups=((0, 1, 2), (3,)))
    refuse(book, small, WrongProposal, "at least 2", parents=head(book), sequence=99)


def test_proposals_that_refer_to_what_is_not_there(book, updates, reveals):
    unknown = tuple(sorted((*updates, sha256(b"unknown"))))
    refuse(book, proposal_body(unknown, reveals), WrongReference, "past cone", parents=head(book), sequence=99)
    quiet = book.transactions(Kind.ACKNOWLEDGEMENT)[0].id
    not_update = tuple(sorted((*updates, quiet)))
    refuse(book, proposal_body(not_update), WrongReference, "expected a update", parents=head(book), sequence=99)
    refuse(book, proposal_body(updates, (quiet,)), WrongReference, "reveals nothing", parents=head(book), sequence=99)


def test_each_listed_update_has_one_reveal_and_no_other_has(book, updates, reveals):
    without = reveals[1:]
    refuse(book, proposal_body(updates, without), WrongProposal, "3 reveals for 4", parents=head(book), sequence=99)
    others = tuple(tx_id for tx_id in updates if book.get(tx_id).issuer != book.get(reveals[0]).issuer)
    refuse(book, proposal_body(others, reveals), WrongReference, "without a listed", parents=head(book), sequence=99)
    member = next(m for m in range(4) if address_of(key(m)) == book.get(reveals[0]).issuer)
    again = create(book, member, AcknowledgementBody(secret(member)))
    twice = tuple(sorted((*reveals, again.id)))
    refuse(book, proposal_body(updates, twice), WrongProposal, "5 reveals for 4", parents=(again.id, again.id))


def test_an_update_counts_only_below_the_closes_of_a_quorum(book):
    """Everybody approves the fourth update, but only two members had when they closed."""
    early = [create(book, m, update_body(m), seed=m) for m in range(3)]
    for m in (0, 1):
        close(book, m)
    late = create(book, 3, update_body(3))
    for m in (2, 3):
        close(book, m)
    for turn in range(3):
        for m in range(4):
            create(book, m, QUIET, seed=10 * turn + m)
    told = [reveal(book, m) for m in range(4)]
    assert book.is_confirmed(late.id)
    parents = (told[0].id, told[1].id)
    parents = (create(book, 0, QUIET, parents=parents).id, create(book, 0, QUIET, parents=(told[2].id, told[3].id)).id)
    basis = book.proposal_basis(1, parents)
    assert basis.updates == tuple(sorted(tx.id for tx in early))
    assert len(basis.reveals) == 3
    everything = tuple(sorted((late.id, *basis.updates)))
    body = proposal_body(everything, tuple(sorted(tx.id for tx in told)))
    refuse(book, body, Unconfirmed, "closes of 2 members, 3 are needed", parents=parents, sequence=99)
    assert create(book, 3, proposal_body(basis.updates, basis.reveals), parents=parents).id in book


def test_a_void_members_close_does_not_count(book):
    """Member 3 closes twice; both closes below one head, it has closed nothing there."""
    made = [create(book, m, update_body(m), seed=m) for m in range(2)]
    last = create(book, 2, QUIET, parents=(made[0].id, made[1].id))
    for m in (0, 1):
        close(book, m)
    tips = book.tips()
    halves = [post((last.id, tips[0]), AcknowledgementBody(None, close=True), 3, sequence=number) for number in (0, 1)]
    on_both = post((halves[0].id, halves[1].id), QUIET, 2, sequence=88)
    book.receive_many([on_both.raw, *(half.raw for half in halves)])
    assert set(book.closed_within((halves[0].id, *tips), 1)) == {0, 1, 3}
    assert set(book.closed_within((on_both.id, *tips), 1)) == {0, 1}
    body = proposal_body(tuple(sorted(tx.id for tx in made)))
    refuse(book, body, Unconfirmed, "closes of 2 members", parents=(on_both.id, tips[-1]), sequence=99)


def test_one_update_a_member(book, updates, reveals):
    genesis = (book.genesis_id, book.genesis_id)
    member = next(m for m in range(4) if address_of(key(m)) == book.get(updates[0]).issuer)
    second = post(genesis, update_body(member, samples=60), member, sequence=77)
    on_it = post((second.id, book.tips()[0]), QUIET, (member + 1) % 4, sequence=77)
    book.receive_many([on_it.raw, second.raw])
    both = tuple(sorted((*updates, second.id)))
    parents = (on_it.id, head(book)[0])
    refuse(book, proposal_body(both), Unconfirmed, "closes of 0 members", parents=parents, sequence=99, member=3)
    assert updates[0] not in book.proposal_basis(1, parents).updates


def test_shares_verdicts_and_checkpoints(book, updates, reveals):
    body = proposal_body(updates, reveals, ((0, 3), (1, 2)))
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
    good = CheckpointBody(proposal, b"m" * 32, b"s" * 32, b"o" * 65, b"d" * 65, book.round_root(proposal))
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


def test_a_proposal_takes_the_pair_of_tips_that_shows_most(book):
    """No single tip shows everything, and the two that show most are not the pair."""
    made = [create(book, m, update_body(m), parents=(book.genesis_id,) * 2) for m in range(2)]
    joint = create(book, 2, QUIET, parents=(made[0].id, made[1].id))
    closes = [create(book, m, AcknowledgementBody(None, close=True), parents=(joint.id,) * 2) for m in range(3)]
    mixed = create(book, 2, QUIET, parents=(closes[0].id, closes[1].id))
    mixed = create(book, 2, QUIET, parents=(mixed.id, closes[2].id))
    told = [create(book, m, AcknowledgementBody(secret(m)), parents=(mixed.id,) * 2) for m in range(2)]
    for number in range(3):
        create(book, 2, QUIET, seed=number, parents=(mixed.id,) * 2)
    basis = book.proposal_basis(1)
    assert set(basis.parents) == {tx.id for tx in told}
    assert set(basis.updates) == {tx.id for tx in made}
