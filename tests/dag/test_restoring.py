"""A ledger put back from an older copy: its member goes on without using a sequence number twice (DAG-6)."""

import random
import shutil

import pytest

from dag.errors import Equivocation
from dag.fields import U53
from dag.ledger import Ledger
from dag.restoring import AHEAD, least_sequence, skip_sequences
from dag.store.sqlite import Store
from dag.transaction import address_of
from tests.dag.support import context, create, key, update_body

NOW = 1_800_000_000.25


def ledger(store: Store) -> Ledger:
    return Ledger(store, lambda: context(rounds=5))


@pytest.fixture
def copy(tmp_path):
    """A copy made after member 0's update of round 1, and the bytes of what it posted after that."""
    path = tmp_path / "ledger.sqlite"
    with Store(path) as store:
        book = ledger(store)
        first = create(book, 0, update_body(0), 1, 0.1)
    shutil.copyfile(path, tmp_path / "copy.sqlite")
    with Store(path) as store:
        later = create(ledger(store), 0, update_body(0), 2, 0.2)
    assert later.sequence == first.sequence + 1
    return tmp_path / "copy.sqlite", later.raw


def test_an_old_copy_as_it_is_makes_its_member_an_equivocator(copy):
    path, later = copy
    with Store(path) as store:
        book = ledger(store)
        create(book, 0, update_body(0), 3, 0.3)
        with pytest.raises(Equivocation):
            book.receive(later)


def test_a_restored_ledger_uses_no_number_twice(copy):
    path, later = copy
    with Store(path) as store:
        assert skip_sequences(store, address_of(key(0)), NOW) == 1_800_000_000_250_000
    with Store(path) as store:
        book = ledger(store)
        posted = create(book, 0, update_body(0), 3, 0.3)
        assert posted.sequence == 1_800_000_000_250_000
        book.receive(later)
        assert create(book, 0, update_body(0), 4, 0.4).sequence == posted.sequence + 1
        assert book.evidence() == ()
        assert create(book, 1, update_body(1), 3, 0.5).sequence >= 0


def test_each_restore_goes_further_whatever_the_clock_says(copy):
    path, _ = copy
    with Store(path) as store:
        numbers = [skip_sequences(store, address_of(key(0)), now) for now in (NOW, NOW - 1000, 0.0)]
        assert least_sequence(store) == numbers[-1]
    assert numbers == [numbers[0], numbers[0] + AHEAD, numbers[0] + 2 * AHEAD]


def test_another_members_number_pushes_nobody_to_the_end(tmp_path):
    with Store(tmp_path / "x.sqlite") as store:
        book = ledger(store)
        rng = random.Random(1)
        skip_sequences(store, address_of(key(1)), U53 / 1_000_000)
        book = ledger(store)
        assert create(book, 1, update_body(1), 1, rng.random()).sequence == U53
        store.set_meta("skipped", b"0")
        assert skip_sequences(store, address_of(key(0)), NOW) == int(NOW * 1_000_000)


def test_a_new_ledger_starts_at_zero_and_a_lost_one_does_not(tmp_path):
    with Store(tmp_path / "new.sqlite") as store:
        assert least_sequence(store) == 0
        assert create(ledger(store), 0, update_body(0), 1, 0.1).sequence == 0
    with Store(tmp_path / "lost.sqlite") as store:
        skip_sequences(store, address_of(key(0)), NOW)
        assert create(ledger(store), 0, update_body(0), 1, 0.1).sequence == int(NOW * 1_000_000)
