"""A ledger in one file: out, in again, broken off, damaged."""

import io
import random

import dag_cbor
import pytest
from multiformats import CID

from dag.bodies import AcknowledgementBody
from dag.errors import ArchiveDamaged, WrongConsortium, WrongRound
from dag.ids import cid_of, sha256
from dag.ledger import Ledger
from dag.store import archive
from dag.store.sqlite import Store
from tests.dag.support import context, create, ledger, update_body
from tests.dag.test_ledger import chain_of, contents, fork

QUIET = AcknowledgementBody(None)


def exported(book: Ledger) -> bytes:
    out = io.BytesIO()
    archive.export(book._store, out)
    return out.getvalue()


def imported(raw: bytes, book: Ledger | None = None, **options) -> tuple[Ledger, archive.Imported]:
    book = book or ledger()
    return book, archive.load(book, io.BytesIO(raw), **options)


@pytest.fixture(scope="module")
def source() -> Ledger:
    book = ledger()
    for member in range(3):
        create(book, member, update_body(member), seed=member)
    chain_of(book, 40)
    book.receive_many(tx.raw for tx in fork(book))
    return book


def test_what_goes_out_comes_in(source):
    raw = exported(source)
    book, report = imported(raw)
    assert contents(book) == contents(source)
    assert (report.attached, report.known, report.refused) == (len(source) - 1, 1, ())
    assert book.evidence() == source.evidence()
    assert book.tips() == source.tips()
    assert exported(book) == raw, "the same ledger gives the same bytes"


def test_importing_again_changes_nothing(source):
    raw = exported(source)
    book, _ = imported(raw)
    _, report = imported(raw, book)
    assert (report.attached, report.known, report.refused) == (0, len(source), ())


def test_any_car_reader_can_walk_it(source):
    """Read here by varint, dag-cbor and multiformats alone."""
    stream = io.BytesIO(exported(source))
    header = dag_cbor.decode(section(stream))
    assert header["version"] == 1
    assert {root.encode("base32") for root in header["roots"]} == {cid_of(tip) for tip in source.tips()}
    blocks = {}
    while content := section(stream):
        cid, block = CID.decode(content[:36]), content[36:]
        assert cid.raw_digest == sha256(block)
        blocks[cid] = dag_cbor.decode(block)
    todo, seen = list(header["roots"]), set()
    while todo:
        cid = todo.pop()
        if cid not in seen:
            seen.add(cid)
            todo += blocks[cid]["parents"]
    assert {cid.encode("base32") for cid in seen} == {cid_of(tx_id) for tx_id in contents(source)}


def section(stream: io.BytesIO) -> bytes:
    size = shift = 0
    while byte := stream.read(1):
        size |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            break
    return stream.read(size)


def test_a_changed_byte_anywhere_is_located(source):
    raw = exported(source)
    starts = [0, *(block.offset for block in archive.Archive(io.BytesIO(raw)).blocks())]
    rng = random.Random(3)
    positions = {*rng.sample(range(len(raw)), 400), *starts, *range(60), len(raw) - 1}
    for position in sorted(positions):
        changed = bytearray(raw)
        changed[position] ^= 1 << rng.randrange(8)
        with pytest.raises(ArchiveDamaged) as caught:
            for _ in archive.Archive(io.BytesIO(bytes(changed))).blocks():
                pass
        damaged = max((n for n, start in enumerate(starts) if start <= position), default=0) - 1
        if damaged >= 0 and position < starts[-1] and caught.value.block >= 0:
            assert caught.value.block in {damaged, damaged + 1}, "a changed length is found where the next block begins"


def test_missing_moved_and_added_blocks_are_noticed(source):
    raw = exported(source)
    starts = [block.offset for block in archive.Archive(io.BytesIO(raw)).blocks()]
    one = raw[starts[5] : starts[6]]
    for changed in (
        raw[: starts[5]] + raw[starts[6] :],
        raw[: starts[9]] + one + raw[starts[9] :],
        raw + b"\x00",
        raw[: starts[-1]],
        raw[: starts[7] + 9],
        b"",
    ):
        with pytest.raises(ArchiveDamaged):
            imported(changed)


def test_what_came_before_the_damage_stays_and_the_rest_comes_later(source):
    raw = exported(source)
    starts = [block.offset for block in archive.Archive(io.BytesIO(raw)).blocks()]
    book = ledger()
    broken = raw[: starts[20]] + bytes(1) + raw[starts[20] + 1 :]
    with pytest.raises(ArchiveDamaged) as caught:
        imported(broken, book)
    assert (caught.value.block, caught.value.offset) == (20, starts[20])
    assert len(book) == 20
    _, report = imported(raw, book)
    assert report.known == 20
    assert contents(book) == contents(source)


def test_both_halves_of_a_fork_come_in_where_members_built_on_both():
    left, right = ledger(), ledger()
    one, two = fork(left)
    left.receive(one.raw)
    right.receive(two.raw)
    on_one = create(left, 0, QUIET, parents=(one.id, one.id))
    on_two = create(right, 1, QUIET, parents=(two.id, two.id))
    left.receive(on_two.raw)
    left.receive(two.raw)
    create(left, 2, QUIET, parents=(on_one.id, on_two.id))
    chain_of(left, 5)
    book, report = imported(exported(left))
    assert contents(book) == contents(left)
    assert report.refused == ()
    assert book.evidence() == left.evidence()


def test_another_consortiums_archive_is_refused(source):
    foreign = Ledger(Store(":memory:"), lambda: context(chain_id=1))
    with pytest.raises(WrongConsortium):
        imported(exported(foreign))
    with pytest.raises(WrongConsortium):
        imported(exported(source), foreign)


def test_the_rules_hold_at_this_door_too(source):
    book = Ledger(Store(":memory:"), lambda: context(rounds=0))
    _, report = imported(exported(source), book)
    assert len(book) == 1
    assert all(isinstance(error, WrongRound) for _, error in report.refused[:3])


def test_progress_and_many_batches():
    source = ledger()
    chain_of(source, 600)
    told = []
    book, report = imported(exported(source), progress=lambda done, total: told.append((done, total)))
    assert told == [(256, 0), (512, 0), (601, 0)]
    assert report.attached == 600
    assert contents(book) == contents(source)
