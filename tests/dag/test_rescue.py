"""A transaction that nobody approves comes back through its own member's next acknowledgement."""

import random

import pytest

from dag.bodies import AcknowledgementBody, Kind
from dag.transaction import address_of
from node.publishing.publisher import Publisher
from tests.dag.support import context, create, key, ledger, post, update_body

TEXT = AcknowledgementBody(None)


def book_with_an_orphan(body=None, **options):
    """Member 0's update hangs under genesis; thirty acknowledgements of the others went past it."""
    book = ledger(**options)
    late = post((book.genesis_id,) * 2, body or update_body(0))
    head = book.genesis_id
    book.receive(late.raw)
    for number in range(30):
        said = post((head, head), TEXT, member=1 + number % 3, sequence=number // 3)
        assert book.receive(said.raw).attached
        head = said.id
    return book, late.id


def test_the_next_acknowledgement_approves_it():
    book, late = book_with_an_orphan(alpha=50.0)
    assert late in book.tips()
    said = create(book, 0, TEXT)
    assert said.parents[1] == late
    assert said.parents[0] != late


def test_other_members_and_other_kinds_leave_it():
    """Walks as greedy as these never come by."""
    for member, body in ((1, TEXT), (0, update_body(0))):
        book, late = book_with_an_orphan(TEXT, alpha=50.0)
        assert late not in create(book, member, body).parents
        assert late in book.tips()


@pytest.mark.parametrize("own", [False, True])
def test_the_daemons_acknowledgement_of_an_update_approves_it_too(own):
    book, late = book_with_an_orphan()
    members = {address: member.index for address, member in context().members.items()}
    private = key(0)
    assert members[address_of(private)] == 0
    other = post((book.genesis_id,) * 2, update_body(2), member=2, sequence=10)
    book.receive(other.raw)
    publisher = Publisher(book, book._store, private, members, lambda *_: None)
    publisher._random = random.Random(1)
    approve = late if own else other.id
    posted = publisher.post(Kind.ACKNOWLEDGEMENT, TEXT, epoch=1, round_number=1, approve=approve)
    assert late in posted.parents
    assert book.in_cone(approve, (posted.id,))
