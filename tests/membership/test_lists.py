"""A lying leader's list among real ledgers: the rules refuse it, its bytes are kept, and the charge follows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from eth_utils.address import to_checksum_address

from chain.conduct import Fault
from chain.records import Hospital
from dag.bodies import Kind, ProposalBody, proposal_roots
from dag.transaction import Transaction, Unsigned, address_of, sign
from node.consortium.records import ProposedView
from node.consortium.view import ConsortiumView
from node.membership.charges import Charge, contradictions, false_lists
from node.membership.evidence import Evidence
from node.membership.findings import Seen
from node.publishing.publisher import Publisher
from tests.dag.support import key, proposal_body
from tests.publishing.support import publisher
from tests.publishing.test_publisher import closed_round, propose, share_all

LIAR = 3


@pytest.fixture
def books() -> list[Publisher]:
    return [publisher(member) for member in range(4)]


@pytest.fixture
def view() -> ConsortiumView:
    return ConsortiumView.of(
        Hospital(to_checksum_address(address_of(key(k))), bytes([k + 1] * 32), 400, f"Hospital {k}", "")
        for k in range(4)
    )


def lie(books: list[Publisher], listed: tuple[bytes, ...], reveals: tuple[bytes, ...] = ()) -> Transaction:
    """A signed proposal that no honest node would make."""
    held = books[0].read(lambda ledger: ledger.tips())
    body: ProposalBody = proposal_body(tuple(sorted(listed)), reveals)
    sequence = books[0].read(lambda ledger: ledger.next_sequence(address_of(key(LIAR))))
    consortium = books[0].read(lambda ledger: ledger.get(ledger.genesis_id)).consortium
    parents = (held[0], held[-1])
    return sign(Unsigned(Kind.PROPOSAL, consortium, 1, 1, sequence, parents, None, body), key(LIAR))


def recorded(tx: Transaction) -> SimpleNamespace:
    """A round as the view shows it once the chain has this proposal on record."""
    body = tx.body
    assert isinstance(body, ProposalBody)
    proposed = ProposedView(address_of(key(LIAR)), tx.id, body.updates_root, body.sums_root, 0)
    return SimpleNamespace(round=1, epoch=1, quorum=3, proposals=(proposed,))


def charges(book: Publisher, view: ConsortiumView, tx: Transaction, evidence: Evidence, seen: Seen) -> list[Charge]:
    found: list[Charge] = book.read(
        lambda ledger: list(false_lists(ledger, view, recorded(tx), evidence.kept(), seen))  # type: ignore[arg-type]
    )
    return found


def test_what_the_rules_refuse_is_kept_and_charged(books: list[Publisher], view: ConsortiumView) -> None:
    updates = closed_round(books)
    evidence = Evidence(":memory:")
    books[0]._refused = evidence.keep
    (wrong, *_) = books[0].read(lambda ledger: ledger.transactions(Kind.ACKNOWLEDGEMENT, 1, limit=5))
    lying = lie(books, (*(tx.id for tx in updates[:3]), wrong.id))
    received = books[0].receive_many((lying.raw,))
    assert [tx_id for tx_id, _ in received.refused] == [lying.id]
    (charge,) = charges(books[0], view, lying, evidence, Seen())
    assert (charge.fault, charge.seat, charge.call) == (Fault.WRONG_INCLUSION, LIAR, "prove_wrong_inclusion")
    record, raw, place, size = charge.arguments
    assert (record.updates_root, raw, place.leaf, size) == (proposal_roots((*sorted(
        (*(tx.id for tx in updates[:3]), wrong.id)),), lying.body.sums)[0], wrong.raw, wrong.id, 4)  # type: ignore[union-attr]  # fmt: skip
    assert charges(books[0], view, lying, Evidence(":memory:"), Seen()) == [], "nothing is charged without the bytes"


def test_an_omission_is_charged_by_who_found_the_proposal_false(books: list[Publisher], view: ConsortiumView) -> None:
    closed_round(books)
    basis = books[0].proposal_basis(1, books[0].gather(_shown(books[0]), epoch=1, round_number=1))
    kept = basis.updates[1:]
    reveals = books[0].read(lambda ledger: ledger.reveals_of(kept, basis.reveals))
    body = proposal_body(kept, reveals)
    omitting = books[0].post(Kind.PROPOSAL, body, epoch=1, round_number=1, parents=basis.parents)
    row = SimpleNamespace(
        round=1, epoch=1, quorum=3,
        proposals=(ProposedView(address_of(key(0)), omitting.id, body.updates_root, body.sums_root, 0),),
    )  # fmt: skip

    def found(seen: Seen) -> list[Charge]:
        rows: list[Charge] = books[0].read(lambda ledger: list(false_lists(ledger, view, row, {}, seen)))  # type: ignore[arg-type]
        return rows

    (charge,) = found(Seen(refused=frozenset({omitting.id})))
    assert (charge.fault, charge.seat) == (Fault.OMISSION, 0)
    assert found(Seen()) == [], "who did not look at the ciphertexts does not charge"
    unsound = Seen(refused=frozenset({omitting.id}), unsound=frozenset({basis.updates[0]}))
    assert found(unsound) == [], "what is no update is left out rightly"


def _shown(book: Publisher) -> list[bytes]:
    rows = book.read(lambda ledger: ledger.transactions(Kind.ACKNOWLEDGEMENT, 1, limit=500))
    return [tx.id for tx in rows if tx.body.close or tx.body.reveal]


def test_honest_ledgers_charge_nobody(books: list[Publisher], view: ConsortiumView) -> None:
    closed_round(books)
    honest = propose(books[LIAR], LIAR)
    share_all(books, [honest])
    seen = Seen(refused=frozenset({honest.id}))
    for book in books:
        if book.knows(honest.id):
            assert charges(book, view, honest, Evidence(":memory:"), seen) == []
        assert book.read(lambda ledger: list(contradictions(ledger, view))) == []
