"""What a hospital promises once: across retries, threads and crashes."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import BadConfig, BadEnvironment, PolicyRefusal
from node.rounds.journal import Journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


def test_a_promise_stands_across_a_restart(path):
    journal = Journal(path)
    journal.promise(3, "opened", b"this partition")
    journal.close()
    again = Journal(path)
    again.promise(3, "opened", b"this partition")
    with pytest.raises(PolicyRefusal, match="round 3: opened"):
        again.promise(3, "opened", b"another partition")
    again.promise(3, "opened", b"this partition")


def test_a_promise_stands_though_the_process_was_killed(path):
    """Nothing is closed: what a second process reads is what was durable when the promise was given."""
    journal = Journal(path)
    journal.promise(3, "signed", b"one")
    other = Journal(path)
    with pytest.raises(PolicyRefusal):
        other.promise(3, "signed", b"two")
    journal.close()


def test_promises_are_synced_to_disk(path):
    journal = Journal(path)
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["opened", "signed"]), st.binary(max_size=3)), max_size=25)
)
def test_the_first_promise_wins_and_no_other_subject_is_touched(promises):
    journal, first = Journal(":memory:"), {}
    for number, subject, value in promises:
        if first.setdefault((number, subject), value) == value:
            journal.promise(number, subject, value)
        else:
            with pytest.raises(PolicyRefusal):
                journal.promise(number, subject, value)


def test_of_many_threads_one_promise_wins(path):
    journal, kept, refused = Journal(path), [], []

    def promise(value: bytes) -> None:
        try:
            journal.promise(1, "opened", value)
            kept.append(value)
        except PolicyRefusal:
            refused.append(value)

    threads = [threading.Thread(target=promise, args=(bytes([k]),)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 1
    assert len(refused) == 15


JSON = st.recursive(st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5), st.lists)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=5), JSON, max_size=5))
def test_facts_are_kept_by_round_and_name(facts):
    journal = Journal(":memory:")
    for name, value in facts.items():
        journal.remember(1, name, "older")
        journal.remember(1, name, value)
    assert journal.facts(1) == facts
    assert journal.facts(2) == {}
    assert {name: journal.recall(1, name) for name in facts} == facts
    assert journal.recall(2, "anything") is None


def test_models_are_found_by_hash_and_listed_oldest_first(path):
    journal = Journal(path)
    journal.keep_model(b"second", 1, 2, "cid-2")
    journal.keep_model(b"genesis", 1, 0, "cid-0")
    journal.keep_model(b"second", 1, 2, "cid-2")
    journal.close()
    again = Journal(path)
    assert again.model(b"second") == (1, 2, "cid-2")
    assert again.model(b"other") is None
    assert again.models() == [(b"genesis", 1, 0, "cid-0"), (b"second", 1, 2, "cid-2")]


def test_a_closed_journal_promises_nothing(path):
    journal = Journal(path)
    journal.close()
    with pytest.raises(sqlite3.ProgrammingError):
        journal.promise(1, "opened", b"x")


def test_a_journal_of_a_newer_version_is_refused_and_left_alone(path):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=2")
    before = path.read_bytes()
    with pytest.raises(BadConfig, match="format 2, this one knows 1"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_journal_of_before_formats_were_numbered_is_read(path):
    journal = Journal(path)
    journal.promise(1, "opened", b"x")
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=0")
    again = Journal(path)
    assert again.promised(1, "opened") == b"x"


def test_a_note_outlives_the_process_and_waits_for_no_disk(path):
    """A reader that opens the file beside an unclosed journal sees what a process after a kill would."""
    journal = Journal(path)
    journal.note(3, "marks", {"begin": 1.5})
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert Journal(path).recall(3, "marks") == journal.facts(3)["marks"] == {"begin": 1.5}
    seen = []
    journal._db.set_trace_callback(seen.append)
    journal.note(3, "marks", {"begin": 2.5})
    assert [s for s in seen if "synchronous" in s] == ["PRAGMA synchronous=NORMAL", "PRAGMA synchronous=FULL"]


def test_after_a_note_that_fails_promises_are_durable_again(path):
    journal = Journal(path)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(BadEnvironment):
        journal.note(1, "long", "x" * 100_000)
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
