"""Proof of work as the plan asks for it: priced by the past cone, the same for every node, and off by default."""

import hashlib
from dataclasses import replace

import dag_cbor
import pytest

from dag.bodies import AcknowledgementBody, Kind
from dag.errors import MalformedTransaction, NotAMember, WorkCancelled, WrongWork
from dag.ledger import Ledger
from dag.rules import Context
from dag.store.sqlite import Store
from dag.transaction import Transaction, address_of, sign
from dag.work import PROGRESS_EVERY, mine, price, work_bits, work_seed
from tests.dag.support import context, create, key, ledger, post, sample_body, terms
from tests.dag.test_transaction import independent_map

BITS, FREE = 5, 3
QUIET = AcknowledgementBody(None)


def working(bits: int = BITS, free: int = FREE) -> Context:
    return replace(context(), rounds={number: terms(pow_bits=bits, pow_free=free) for number in (1, 2)})


def book(bits: int = BITS, free: int = FREE) -> Ledger:
    return Ledger(Store(":memory:"), lambda: working(bits, free))


def bits_of(transaction: Transaction) -> int:
    return work_bits(work_seed(transaction, transaction.issuer), transaction.nonce)


def made(base: Transaction, nonce: bytes | None, member: int = 0) -> Transaction:
    """The same transaction with another nonce, signed anew."""
    return sign(replace(base, nonce=nonce), key(member))


def test_no_plan_asks_for_work_unless_it_says_so():
    mine_ = create(ledger(), 0, QUIET)
    assert mine_.nonce is None
    assert b"nonce" not in mine_.raw
    other = ledger()
    with pytest.raises(WrongWork, match="asks for no work"):
        other.receive(post((other.genesis_id,) * 2, QUIET, nonce=bytes(8)).raw)


def test_work_is_done_checked_and_read_independently():
    """DAG-3: proof of work if the plan asks for it. The hash is taken here from dag-cbor's bytes."""
    here, there = book(), book()
    posted = create(here, 1, QUIET)
    assert there.receive(posted.raw).attached
    content = independent_map(posted)
    assert dag_cbor.encode(content | {"nonce": posted.nonce, "signature": posted.signature}) == posted.raw
    seed = hashlib.sha256(b"medweave/work/1\x00" + address_of(key(1)) + dag_cbor.encode(content)).digest()
    digest = hashlib.sha256(seed + posted.nonce).digest()
    assert int.from_bytes(digest, "big") < 2 ** (256 - BITS)


def test_too_little_work_is_refused():
    here = book(bits=12)
    good = create(here, 0, QUIET)
    seed = work_seed(good, good.issuer)
    weak = next(n.to_bytes(8, "big") for n in range(100) if work_bits(seed, n.to_bytes(8, "big")) < 12)
    there = book(bits=12)
    for nonce in (None, weak):
        with pytest.raises(WrongWork, match="12 "):
            there.receive(made(good, nonce).raw)
    stolen = sign(good, key(1))  # the same words and nonce, said by somebody else
    assert bits_of(stolen) != bits_of(good)


def test_each_transaction_beyond_the_allowance_costs_a_bit_more():
    here, there = book(), book()
    for number in range(8):
        posted = create(here, 0, QUIET, seed=number)
        assert bits_of(posted) >= BITS + max(0, number - FREE)
        assert there.receive(posted.raw).attached
    assert there.receive(create(here, 1, QUIET).raw).attached, "others pay the base price"
    tip = (posted.id, posted.id)
    base = post(tip, QUIET, sequence=8)
    asked = price(base, base.issuer, working().rounds[1], there._replica)
    assert asked == BITS + 5
    seed = work_seed(base, base.issuer)
    cheap = next(n.to_bytes(8, "big") for n in range(10**6) if BITS <= work_bits(seed, n.to_bytes(8, "big")) < asked)
    with pytest.raises(WrongWork, match=f"{asked} are asked of this issuer"):
        there.receive(made(base, cheap).raw)


def test_a_new_round_starts_at_the_base_price():
    here = book()
    for number in range(7):
        create(here, 0, QUIET, seed=number)
    base = post((here.tips()[0],) * 2, QUIET, sequence=7, round_=2)
    assert price(base, base.issuer, working().rounds[2], here._replica) == BITS


def test_skipping_numbers_hides_nothing():
    here = book()
    first = create(here, 0, QUIET)
    base = post((first.id, first.id), QUIET, sequence=9)
    assert price(base, base.issuer, working().rounds[1], here._replica) == BITS + 9 - FREE


def test_the_price_does_not_depend_on_what_else_a_node_holds():
    here, there = book(), book()
    first = create(here, 0, QUIET)
    there.receive(first.raw)
    base = post((first.id, first.id), QUIET, sequence=1)
    for number in range(6):
        there.receive(create(here, 0, QUIET, seed=number).raw)
    fresh = book()
    fresh.receive(first.raw)
    asked = {price(base, base.issuer, working().rounds[1], view._replica) for view in (here, there, fresh)}
    assert asked == {BITS}


def test_mining_can_be_watched_and_given_up():
    told = []

    def enough(tries: int) -> bool:
        told.append(tries)
        return len(told) < 2

    unsigned = post((b"1" * 32, b"2" * 32), QUIET)
    with pytest.raises(WorkCancelled, match="200 bits"):
        mine(unsigned, unsigned.issuer, 200, enough)
    assert told == [PROGRESS_EVERY, 2 * PROGRESS_EVERY]
    here = book(bits=200)
    with pytest.raises(WorkCancelled):
        create(here, 0, QUIET, progress=lambda tries: False)
    assert len(here) == 1
    assert here.outbox() == ()


def test_work_does_not_make_a_member():
    with pytest.raises(NotAMember):
        create(book(), 9, QUIET)


@pytest.mark.parametrize("nonce", [b"", bytes(7), bytes(9), 5, "nonce678"])
def test_a_nonce_has_eight_bytes(nonce):
    with pytest.raises(MalformedTransaction) as caught:
        post((b"1" * 32, b"2" * 32), sample_body(Kind.UPDATE), nonce=nonce)
    assert caught.value.field == "nonce"
