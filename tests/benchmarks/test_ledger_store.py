"""The arithmetic of the ledger's benchmark on disk, on ledgers small enough for a test."""

from itertools import islice

import pytest

from benchmarks import ledger_store
from benchmarks.ledger_store import Sample
from dag.ledger import Ledger
from dag.store.sqlite import Store
from dag.transaction import Transaction


def test_promises_are_of_the_largest_ledger():
    samples = {10: Sample(1.0, 9.0, 0.5, 1, (99.0,), 1), 1000: Sample(6000.0, 10_000.0, 0.6, 500, (4.0, 12.0, 5.0), 20)}
    found = ledger_store.promises(samples)
    assert [(target.value, target.holds) for target in found] == [(6000.0, True), (0.6, True), (5.0, True)]


def test_the_stream_is_what_a_consortium_posts(tmp_path):
    context = ledger_store.context(10)
    with Store(tmp_path / "ledger.db") as store:
        book = Ledger(store, lambda: context)
        raws = list(islice(ledger_store.stream(book.genesis_id), 350))
        assert len(book.receive_many(raws).attached) == 350
    posted = [Transaction.decode(raw) for raw in raws]
    assert len({tx.issuer for tx in posted}) == ledger_store.MEMBERS
    assert [tx.round for tx in posted] == [1 + number // 100 for number in range(350)]
    assert sum(tx.kind == "update" for tx in posted) == 40


def test_a_small_run_measures():
    result = ledger_store.benchmark([700], repeats=2)
    assert {row.table for row in result.rows} == {ledger_store.INGEST, ledger_store.START}
    figures = result.rows[0].figures
    assert figures["share"] == pytest.approx(figures["a_second"] / figures["recoveries_a_second"])
    assert figures["share"] < 1, "nothing is faster than the part of it that is measured alone"
    assert figures["disk_a_transaction"] > 300
