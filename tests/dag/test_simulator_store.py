"""The simulator's store keeps what the one on disk keeps: the same operations on both, the same answers."""

import inspect

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dag.errors import StoreFailed
from dag.ids import sha256
from dag.simulator.memory_store import MemoryStore
from dag.store.port import LedgerStore
from dag.store.schema import Row
from dag.store.sqlite import Store

ISSUERS = [bytes([number]) * 20 for number in range(3)]
KINDS = ("update", "acknowledgement")
numbers = st.integers(0, 4)


class SameAnswers(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.disk, self.memory = Store(":memory:"), MemoryStore("memory")
        self.both = (self.disk, self.memory)

    def teardown(self):
        self.disk.close()

    def row(self, issuer, sequence, kind, round_, subject):
        arrival = self.memory.last_arrival() + 1
        raw = f"{arrival} {issuer} {sequence} {kind} {round_} {subject}".encode()
        about = None if subject == 0 else subject.to_bytes(8, "big")
        parents = (arrival // 2, arrival - 1)
        return Row(arrival, sha256(raw), raw, ISSUERS[issuer], sequence, KINDS[kind], round_, about, *parents)

    @rule(issuer=st.integers(0, 2), sequence=numbers, kind=st.integers(0, 1), round_=numbers, subject=numbers)
    def append(self, **columns):
        row = self.row(**columns)
        for store in self.both:
            store.append([row])

    @rule(number=numbers)
    def wait(self, number):
        raw = bytes([number])
        for store in self.both:
            store.keep_waiting(sha256(raw), raw)

    @rule(number=numbers)
    def stop_waiting(self, number):
        for store in self.both:
            store.drop_waiting(sha256(bytes([number])))

    @rule(number=numbers, put=st.booleans())
    def outbox(self, number, put):
        for store in self.both:
            (store.put_outbox if put else store.clear_outbox)(sha256(bytes([number])))

    @rule(number=numbers, issuer=st.integers(0, 2))
    def accuse(self, number, issuer):
        for store in self.both:
            store.put_evidence(ISSUERS[issuer], bytes([number, issuer]))

    @rule(found=st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), numbers), max_size=3), gone=st.booleans())
    def prune(self, found, gone):
        for store in self.both:
            store.put_pruned(found)
            if gone:
                store.set_gone([blob for blob, _ in found])

    @rule(key=st.sampled_from(["one", "two"]), number=numbers)
    def note(self, key, number):
        for store in self.both:
            store.set_meta(key, bytes([number]))

    @rule(issuer=st.integers(0, 2), number=numbers)
    def abandon(self, issuer, number):
        """A batch that fails leaves nothing behind, whatever it had done."""
        row = self.row(issuer, number, 0, number, number)
        for store in self.both:
            with pytest.raises(ZeroDivisionError):
                self.fail_in_a_batch(store, row, number)

    @staticmethod
    def fail_in_a_batch(store, row, number):
        with store.batch():
            store.append([row])
            store.keep_waiting(b"w" * 32, b"w")
            store.drop_waiting(sha256(bytes([number])))
            store.put_outbox(b"o" * 32)
            store.clear_outbox(sha256(bytes([number])))
            store.put_evidence(row.issuer, b"abandoned")
            store.put_pruned([(b"p", 1)])
            store.set_gone([b"a", b"p"])
            store.set_meta("one", b"abandoned")
            with store.batch():
                store.set_meta("three", b"abandoned")
            number / 0

    @invariant()
    def answers_agree(self):
        if not hasattr(self, "both"):
            return
        disk, memory = [self.answers(store) for store in self.both]
        assert disk == memory

    @staticmethod
    def answers(store):
        last = store.last_arrival()
        return {
            "rows": [list(store.rows(*some)) for some in ((), (1,), (0, 2), (0, -1, "update"), (1, 2, None, 3))],
            "chunks": [row for chunk in store.chunks(1) for row in chunk],
            "row": [store.row(arrival) for arrival in (0, 1, last, last + 1)],
            "ids": [store.ids(kind, round_) for kind in (None, *KINDS) for round_ in (None, 1, 2)],
            "sequences": [(store.ids_by_sequence(who, n), store.next_sequence(who)) for who in ISSUERS for n in (0, 3)],
            "answers": [store.answers(number.to_bytes(8, "big")) for number in range(5)],
            "newest": store.newest_round(),
            "waiting": store.waiting(),
            "outbox": store.outbox(),
            "evidence": store.evidence(),
            "pruned": [store.pruned_round(blob) for blob in (b"a", b"b", b"c", b"p")],
            "droppable": store.droppable(),
            "meta": [store.meta(key) for key in ("one", "two", "three")],
        }


TestSameAnswers = SameAnswers.TestCase
TestSameAnswers.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_it_has_every_method_that_a_ledger_asks_for():
    promised = {name for name, _ in inspect.getmembers(LedgerStore, inspect.isfunction) if not name.startswith("_")}
    for name in promised:
        wanted, found = (inspect.signature(getattr(kind, name)) for kind in (LedgerStore, MemoryStore))
        assert list(found.parameters) == list(wanted.parameters), name


def test_rows_follow_each_other():
    store = MemoryStore("memory")
    row = Row(2, b"i" * 32, b"raw", ISSUERS[0], 0, "update", 1, None, 0, 0)
    with pytest.raises(StoreFailed, match="row 2 after 0 rows"):
        store.append([row])


def test_equal_columns_are_kept_once():
    shared = {}
    row = Row(1, b"i" * 32, b"raw", ISSUERS[0], 0, "update", 1, None, 0, 0)
    stores = [MemoryStore(str(number), shared) for number in range(3)]
    for store in stores:
        store.append([row._replace(raw=bytes(bytearray(row.raw)))])
    assert len(shared) == 1
    assert len({id(store.row(1).raw) for store in stores}) == 1
