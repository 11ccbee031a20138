"""The file itself: formats, migrations, full disks, group commits, looking without touching."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dag.bodies import AcknowledgementBody
from dag.errors import RefusedTransaction, StoreCorrupt, StoreFailed, WrongFormat
from dag.ids import sha256
from dag.ledger import Ledger
from dag.store import migrations, rechecking
from dag.store import sqlite as store_module
from dag.store.schema import FORMAT
from dag.store.sqlite import Store
from dag.transaction import Transaction, address_of
from tests.dag.support import context, create, key, ledger, post, update_body
from tests.dag.test_ledger import chain_of, contents, fork

QUIET = AcknowledgementBody(None)

FORMAT_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE transactions (
    arrival INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL, issuer BLOB NOT NULL,
    sequence INTEGER NOT NULL, kind TEXT NOT NULL, round INTEGER NOT NULL, subject BLOB, seal BLOB NOT NULL);
CREATE INDEX by_sequence ON transactions (issuer, sequence);
CREATE INDEX by_subject ON transactions (subject, issuer, kind) WHERE subject IS NOT NULL;
CREATE INDEX by_round ON transactions (round, kind);
CREATE TABLE waiting (id BLOB PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE evidence (digest BLOB PRIMARY KEY, issuer BLOB NOT NULL, proof BLOB NOT NULL) WITHOUT ROWID;
"""


def old_file(path: Path, book: Ledger, waiting: Transaction, outbox: list[bytes]) -> None:
    """A ledger as format 1 wrote it."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(FORMAT_1)
        db.executemany(
            "INSERT INTO meta VALUES (?, ?)", [("format", b"1"), ("genesis", book.genesis_id), ("dirty", b"0")]
        )
        for arrival, tx in enumerate(book.transactions(limit=1000), 1):
            subject = tx.round.to_bytes(8, "big") if tx.kind == "update" else None
            plain = f"{arrival}|{tx.sequence}|{tx.round}|{tx.kind}|".encode()
            seal = sha256(plain + tx.id + tx.issuer + sha256(tx.raw) + (subject or b""))
            columns = (arrival, tx.id, tx.raw, tx.issuer, tx.sequence, str(tx.kind), tx.round, subject, seal)
            db.execute("INSERT INTO transactions VALUES (?,?,?,?,?,?,?,?,?)", columns)
        db.execute("INSERT INTO waiting VALUES (?, ?)", (waiting.id, waiting.raw))
        db.executemany("INSERT INTO outbox VALUES (?)", [(tx_id,) for tx_id in outbox])
        for proof in book.evidence():
            db.execute("INSERT INTO evidence VALUES (?,?,?)", (sha256(proof.encode()), proof.issuer, proof.encode()))


@pytest.fixture
def history() -> Ledger:
    book = ledger()
    for member in range(3):
        create(book, member, update_body(member), seed=member)
    chain_of(book, 8)
    book.receive_many(tx.raw for tx in fork(book))
    return book


def test_a_file_of_format_1_is_brought_along_and_a_copy_kept(tmp_path, history):
    path = tmp_path / "ledger.db"
    waiting = post((sha256(b"?"), sha256(b"!")), QUIET, sequence=50)
    outbox = [tx.id for tx in history.transactions()[2:6]]
    old_file(path, history, waiting, sorted(outbox))
    before = path.read_bytes()
    with Store(path) as store:
        book = Ledger(store, context)
        assert not store.was_dirty
        assert list(book.tangle.ids()) == list(history.tangle.ids())
        assert book.outbox() == tuple(outbox), "in the order they arrived"
        assert set(book.missing()) == set(waiting.parents)
        assert book.evidence() == history.evidence()
        assert book.tips() == history.tips()
        book.verify()
        create(book, 0, QUIET)
        assert store.meta("format") == b"%d" % FORMAT
    copy = Path(migrations.copy_name(str(path), 1))
    assert copy.read_bytes()[:16] == before[:16]
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == (b"1",)
        assert db.execute("SELECT COUNT(*) FROM transactions").fetchone() == (len(history),)
    assert ledger(path).tips()


@pytest.mark.parametrize("damage", ["UPDATE transactions SET round = 9 WHERE arrival = 5", "DELETE FROM transactions"])
def test_a_damaged_old_file_is_left_as_it_was(tmp_path, history, damage):
    path = tmp_path / "ledger.db"
    old_file(path, history, post((sha256(b"?"),) * 2, QUIET, sequence=50), [])
    with closing(sqlite3.connect(path)) as db, db:
        where = "" if "WHERE" in damage else " WHERE arrival = 3"
        db.execute(damage + where)
    with pytest.raises(StoreCorrupt):
        Store(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == (b"1",)
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert "pruned" not in tables
    assert "transactions_1" not in tables


def test_a_newer_file_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        store.set_meta("format", b"77")
    before = path.read_bytes()
    with pytest.raises(WrongFormat, match="newer") as caught:
        Store(path)
    assert (caught.value.found, caught.value.expected) == (77, FORMAT)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "format" in p.name] == []


def test_a_database_of_something_else(tmp_path):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE patients (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="patients"):
        Store(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["other.db"]


def test_looking_leaves_no_mark_and_works_beside_a_node(tmp_path):
    path = tmp_path / "ledger.db"
    with pytest.raises(StoreFailed):
        Store(path, read_only=True)
    node = Store(path)
    book = Ledger(node, context)
    made = create(book, 0, QUIET)
    with Store(path, read_only=True) as store:
        seen = Ledger(store, context)
        assert made.id in seen
        create(book, 1, QUIET)
        with pytest.raises(StoreFailed):
            create(seen, 0, QUIET)
    node.close()
    with Store(path, read_only=True):
        pass
    assert not Store(path).was_dirty


def test_looking_at_an_old_file_asks_for_the_node(tmp_path, history):
    path = tmp_path / "ledger.db"
    old_file(path, history, post((sha256(b"?"),) * 2, QUIET, sequence=50), [])
    with pytest.raises(WrongFormat, match="start the node"):
        Store(path, read_only=True)


# -- group commits -------------------------------------------------------------------------------------------------


def test_a_batch_is_one_commit(tmp_path):
    path = tmp_path / "ledger.db"
    book = Ledger(Store(path), context)
    made = chain_of(ledger(), 6)
    with closing(sqlite3.connect(path)) as other:
        count = "SELECT (SELECT COUNT(*) FROM transactions), (SELECT COUNT(*) FROM outbox)"
        with book.batch():
            for transaction in made[:3]:
                book.receive(transaction.raw)
            mine = create(book, 3, QUIET)
            book.receive_many(tx.raw for tx in made[3:])
            book.sent(mine.id)
            assert other.execute(count).fetchone() == (1, 0)
        assert other.execute(count).fetchone() == (8, 0)


def test_a_batch_that_raises_did_nothing(tmp_path):
    book = Ledger(Store(tmp_path / "ledger.db"), context)
    made = chain_of(ledger(), 4)

    def abandoned():
        with book.batch():
            book.receive_many(tx.raw for tx in made)
            create(book, 3, QUIET)
            raise KeyError

    with pytest.raises(KeyError):
        abandoned()
    assert contents(book) == {book.genesis_id}
    assert book.outbox() == ()
    assert book.next_sequence(address_of(key(3))) == 0


def test_a_refusal_inside_a_batch_costs_only_itself():
    book = ledger()
    with book.batch():
        create(book, 0, QUIET)
        with pytest.raises(RefusedTransaction):
            book.receive(post((book.genesis_id,) * 2, QUIET, member=9).raw)
        create(book, 1, QUIET)
    assert len(book) == 3


def test_what_a_batch_wrote_is_seen_inside_it():
    book = ledger()
    with book.batch():
        first = create(book, 0, update_body())
        assert book.transactions(round=1) == (first,)
        assert book.updates_of(address_of(key(0)), 1) == (first,)
        assert book.next_sequence(address_of(key(0))) == 1
        assert book.since(1) == ((2, first),)


# -- a full disk ---------------------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_and_is_survived(tmp_path):
    """SQLite refuses pages beyond a limit just as a full disk does (SQLITE_FULL)."""
    path = tmp_path / "ledger.db"
    store = Store(path)
    book = Ledger(store, context)
    made = chain_of(ledger(), 300)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 12}")

    def fill():
        for start in range(0, 300, 20):
            book.receive_many(tx.raw for tx in made[start : start + 20])

    with pytest.raises(StoreFailed, match="full"):
        fill()
    held = len(book) - 1
    assert 0 < held < 300
    assert contents(book) == {book.genesis_id, *(tx.id for tx in made[:held])}
    with pytest.raises(StoreFailed, match="full"):
        book.receive_many(tx.raw for tx in made[held:])
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert len(book.receive_many(tx.raw for tx in made[held:]).attached) == 300 - held
    store.close()
    again = ledger(path)
    again.verify()
    assert len(again) == 301


def test_rows_that_could_not_be_written_are_not_written_later(tmp_path):
    path = tmp_path / "ledger.db"
    store = Store(path)
    Ledger(store, context)
    row = store.row(1)
    store._db.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="locked"):
            store.append([row._replace(arrival=2)])
        other.execute("ROLLBACK")
    with store.batch():
        store.set_meta("note", b"written")
    assert store.last_arrival() == 1


@pytest.mark.parametrize("column", ["first", "second"])
def test_a_changed_parent_is_found(tmp_path, column):
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        chain_of(Ledger(store, context), 3)
        row = store.row(4)
        wrong = row._replace(**{column: 1})
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE transactions SET {column} = 1 WHERE arrival = 4")  # noqa: S608
    with pytest.raises(StoreCorrupt):
        ledger(path)
    with closing(sqlite3.connect(path)) as db, db:  # whoever can compute seals is found by the signed bytes
        db.execute("UPDATE transactions SET seal = ? WHERE arrival = 4", (wrong.seal(),))
    with Store(path) as store, pytest.raises(StoreCorrupt, match="signed"):
        Ledger(store, context).verify()


def test_a_row_stored_twice_is_found(tmp_path):
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        chain_of(Ledger(store, context), 2)
        store.append([store.row(3)._replace(arrival=4)])
    with pytest.raises(StoreCorrupt, match="twice"):
        ledger(path)


def test_a_start_tells_how_far_it_is(tmp_path):
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        chain_of(Ledger(store, context), 5)
    told = []
    with Store(path) as store:
        Ledger(store, context, progress=lambda done, total: told.append((done, total)))
    assert told == [(6, 6)]


@pytest.mark.parametrize("dying", [False, True])
def test_signatures_are_checked_by_several_processes_even_if_they_die(tmp_path, monkeypatch, dying):
    monkeypatch.setattr(rechecking, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(store_module, "_CHUNK", 7)
    path = tmp_path / "ledger.db"
    with Store(path) as store:
        chain_of(Ledger(store, context), 60)
        row = store.row(50)
        forged = row._replace(issuer=address_of(key(3)))
    if dying:
        monkeypatch.setattr(rechecking.Helper, "ask", died_before(rechecking.Helper.ask))
    with Store(path) as store:
        Ledger(store, context).verify()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE transactions SET issuer = ?, seal = ? WHERE arrival = 50", (forged.issuer, forged.seal()))
    with Store(path) as store, pytest.raises(StoreCorrupt, match=r"row 50.*signed"):
        Ledger(store, context).verify()


def died_before(ask):
    def ask_the_dead(helper, claims):
        helper._process.kill()
        helper._process.wait()
        ask(helper, claims)

    return ask_the_dead
