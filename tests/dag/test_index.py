"""The arrays under the tangle: against the slow reference, and plain Python against compiled kernels."""

import random
import subprocess
import sys

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.errors import MalformedIdentifier, MalformedTransaction, MissingParent
from dag.index import engine
from dag.index.columns import Columns
from dag.index.covers import KEPT_ROUNDS
from dag.index.ids import Ids
from dag.tangle import Tangle
from dag.walks import choose_parents
from tests.dag.graphs import Reference, build, compiling_from, rows
from tests.dag.support import draw, name_id

SLOW = settings(deadline=None, max_examples=60)


@given(rows())
@SLOW
def test_weights_depths_tips_and_links(made):
    tangle, reference = build(made)
    for tx_id in reference.ids:
        assert tangle.approval_weight(tx_id) == reference.weight(tx_id)
        assert tangle.depth(tx_id) == reference.depth(tx_id)
        assert set(tangle.parents(tx_id)) == set(reference.graph.successors(tx_id))
        approvers = sorted(reference.graph.predecessors(tx_id), key=reference.ids.index)
        assert list(tangle.approvers(tx_id)) == approvers
        issuers = reference.issuers(reference.future(tx_id))
        assert {member for member in range(6) if tangle.approved_by(tx_id, member)} == issuers
        assert tangle.approved_by_members(tx_id) == sum(1 << member for member in issuers)
    assert tangle.tips() == reference.tips()


@given(rows(), st.data())
@SLOW
def test_cones(made, data):
    tangle, reference = build(made)
    heads = data.draw(st.lists(st.sampled_from(reference.ids), min_size=1, max_size=3))
    for tx_id in reference.ids:
        assert tangle.in_cone(tx_id, heads) == (tx_id in reference.past(*heads))
        assert tangle.confirmed_within(tx_id, heads) == reference.confirmed_within(tx_id, heads)
    assert tangle.round_cone(heads[0]) == reference.round_cone(heads[0])


@given(rows(most=40, rounds=KEPT_ROUNDS + 6))
@settings(deadline=None, max_examples=30)
def test_covers_of_every_round_however_old(made):
    tangle, reference = build(made)
    for tx_id in reference.ids:
        round_ = tangle.round(tx_id)
        assert tangle.cover(tx_id, round_) == reference.cover(tx_id, round_)
        assert tangle.cover(tx_id, round_ + 1) == 0


@given(rows(), st.data())
@SLOW
def test_equivocators_weigh_nothing_from_then_on(made, data):
    """Marked at any moment, the weights are those of a graph that never counted the member."""
    faulty = data.draw(st.sets(st.integers(0, 4), max_size=2))
    moment = data.draw(st.integers(0, len(made)))
    tangle, reference = Tangle(3), Reference(3, faulty=faulty)
    for number, row in enumerate((*made, None)):
        for member in faulty if number == moment else ():
            tangle.mark_faulty(member)
            tangle.mark_faulty(member)
        if row is not None:
            tangle.attach(*row)
            reference.attach(*row)
    for tx_id in reference.ids:
        assert tangle.approval_weight(tx_id) == reference.weight(tx_id)
    assert tangle.entry == reference.entry(1024)


@pytest.mark.parametrize("many", [False, True])
@given(rows(most=40), st.data())
@SLOW
def test_the_entry_point_is_the_rules_at_every_moment(many, made, data):
    """A window of six brings both halves of the rule into small graphs."""
    tangle, reference = Tangle(3), Reference(3)
    tangle._entry.window = 6
    points = [row[0] for row in made if row[4] is Kind.CHECKPOINT]
    chosen = st.sets(st.sampled_from(points), max_size=3) if points else st.just(set())
    anchored = data.draw(chosen)
    for row in () if many else made:
        tangle.attach(*row)
        reference.attach(*row)
        if row[0] in anchored:
            tangle.anchor(row[0])
            reference.anchored.add(row[0])
        assert tangle.entry == reference.entry(6)
    if many:
        tangle.attach_many(made)
        for row in made:
            reference.attach(*row)
        assert tangle.entry == reference.entry(6)
        for tx_id in anchored:
            tangle.anchor(tx_id)
            reference.anchored.add(tx_id)
    tangle.mark_faulty(1)
    reference.faulty.add(1)
    assert tangle.entry == reference.entry(6)


def test_an_approver_reached_on_many_paths_counts_once():
    """The double counting of IOTA's reference implementation: a ladder of ten diamonds has 2^10 paths, two members."""
    rungs = ["A0:[G]"]
    for n in range(1, 11):
        rungs += [f"B{n}:[A{n - 1}]", f"C{n}:[A{n - 1}]", f"A{n}:[B{n},C{n}]"]
    tangle = draw("; ".join(rungs))
    assert tangle.approval_weight(name_id("A0")) == 3
    assert tangle.approval_weight(name_id("B10")) == 2
    assert tangle.confirmed_within(name_id("A0"), name_id("A10")) == {0, 1, 2}


# -- plain and compiled ------------------------------------------------------------------------------------------


def everything(made, quorum, faulty, seeds):
    """All that kernels have a part in."""
    tangle = Tangle(quorum)
    half = len(made) // 2
    for row in made[:half]:
        tangle.attach(*row)
    for member in faulty:
        tangle.mark_faulty(member)
    tangle.attach_many(made[half:])
    ids = list(tangle.ids())
    heads = ids[-3:]
    return (
        [tangle.approval_weight(i) for i in ids],
        [tangle.depth(i) for i in ids],
        [tangle.approvers(i) for i in ids],
        [tangle.in_cone(i, heads) for i in ids],
        [tangle.confirmed_within(i, heads) for i in ids],
        [tangle.round_cone(i) for i in ids],
        [tangle.cover(i, tangle.round(i)) for i in ids],
        tangle.entry,
        [choose_parents(tangle, random.Random(seed), alpha) for seed in range(seeds) for alpha in (0.0, 0.3, 2.0)],
        [
            choose_parents(tangle, random.Random(seed), member=1, round_=2, through=ids[half // 2])
            for seed in range(seeds)
        ],
    )


@given(rows(most=60, members=40, back=9), st.integers(1, 9), st.sets(st.integers(0, 39), max_size=3))
@settings(deadline=None, max_examples=40)
def test_compiled_kernels_do_what_plain_ones_do(made, quorum, faulty):
    """With 40 members a mask has two words."""
    plain = everything(made, quorum, faulty, 4)
    with compiling_from(0):
        assert Tangle(1).graph._engine.compiled
        assert everything(made, quorum, faulty, 4) == plain
    with compiling_from(len(made) // 3):
        assert everything(made, quorum, faulty, 4) == plain, "and when a graph crosses the line in mid-life"


def test_a_thousand_members():
    random_ = random.Random(4)
    ids, made = [name_id("G")], [(name_id("G"), (), None, 0, Kind.GENESIS)]
    for number in range(1500):
        parents = tuple(random_.choice(ids[-40:]) for _ in range(2))
        ids.append(name_id(f"{number}"))
        made.append((ids[-1], parents, random_.randrange(1000), 1, Kind.UPDATE))
    tangle, reference = build(made, quorum=667)
    for tx_id in random_.sample(ids, 40):
        assert tangle.approval_weight(tx_id) == reference.weight(tx_id)
        assert tangle.cover(tx_id, 1) == reference.cover(tx_id, 1)
    assert tangle.graph.columns.words == 32


@pytest.mark.parametrize("module", ["dag.ledger", "node.daemon.service"])
def test_importing_does_not_import_numba(module):
    """It costs every process 145 MB."""
    code = f"import sys, {module}; raise SystemExit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_numba_everything_stays_plain(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "numba", None)
    assert engine._compiled.__wrapped__() is engine.PLAIN
    assert "numba cannot be imported" in caplog.text


def test_a_cache_that_cannot_be_written_does_not_stop_compiling(monkeypatch, caplog):
    from numba.core import caching

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "load", full)
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    assert engine._compiled.__wrapped__().compiled
    assert "No space left" in caplog.text


# -- growing -----------------------------------------------------------------------------------------------------


@given(rows(), st.integers(0, 30))
@SLOW
def test_a_batch_that_breaks_keeps_what_came_before(made, at):
    broken = [*made[: at + 1], (b"!" * 32, (b"?" * 32,), 1, 1, Kind.UPDATE), *made[at + 1 :]]
    tangle = Tangle(3)
    with pytest.raises(MissingParent):
        tangle.attach_many(broken)
    whole, reference = build(made[: at + 1])
    assert list(tangle.ids()) == reference.ids
    assert tangle.tips() == whole.tips()
    for tx_id in reference.ids:
        assert tangle.approval_weight(tx_id) == reference.weight(tx_id)
    assert tangle.entry == whole.entry
    tangle.attach_many(made)
    assert list(tangle.ids()) == [row[0] for row in made]


def columns_of(made, places):
    """Rows as `attach_places` takes them."""
    ids, parents, issuers, rounds, kinds = zip(*made, strict=True)
    firsts = [places[above[0]] if above else -1 for above in parents]
    seconds = [places[above[1]] if above else -1 for above in parents]
    return ids, firsts, seconds, [-1 if who is None else who for who in issuers], rounds, kinds


@given(rows(most=40, members=40, rounds=KEPT_ROUNDS + 3), st.integers(1, 41))
@SLOW
def test_rows_by_places_are_the_rows_by_ids(made, cut):
    whole, _ = build(made)
    again = Tangle(3)
    places = {tx_id: place for place, tx_id in enumerate(whole.ids())}
    again.attach_places(*columns_of(made[:cut], places))
    again.reserve(cut + 300)
    again.refuse(again.tips()[0])
    assert [again.is_refused(tx_id) for tx_id in again.tips()].count(True) == 1
    if made[cut:]:
        again.attach(*made[cut])
    if made[cut + 1 :]:
        again.attach_places(*columns_of(made[cut + 1 :], places))
    assert list(again.ids()) == list(whole.ids())
    assert again.tips() == whole.tips()
    assert again.entry == whole.entry
    for tx_id in whole.ids():
        assert again.parents(tx_id) == whole.parents(tx_id)
        assert again.approvers(tx_id) == whole.approvers(tx_id)
        assert again.approval_weight(tx_id) == whole.approval_weight(tx_id)
        assert again.cover(tx_id, again.round(tx_id)) == whole.cover(tx_id, whole.round(tx_id))
        for member in (0, 1, 39):
            round_ = whole.round(made[-1][0])
            assert again.news(tx_id, member, round_) == whole.news(tx_id, member, round_)


@pytest.mark.parametrize(("first", "second", "issuer"), [(0, 3, 1), (-2, 0, 1), (1 << 40, 0, 1), (0, 0, 2**15)])
def test_columns_that_do_not_fit_change_nothing(first, second, issuer):
    tangle = draw("A1:[G]")
    ids, kinds = [name_id("B1"), name_id("C1")], [Kind.UPDATE] * 2
    with pytest.raises(MalformedTransaction, match=r"rows\[1\]"):
        tangle.attach_places(ids, [0, first], [1, second], [1, issuer], [1, 1], kinds)
    assert list(tangle.ids()) == [name_id("G"), name_id("A1")]


@pytest.mark.parametrize("bad", [name_id("A1"), b"short"])
def test_columns_with_a_wrong_id_keep_what_came_before(bad):
    tangle = draw("A1:[G]")
    with pytest.raises(MalformedTransaction, match=r"rows\[1\]"):
        tangle.attach_places([name_id("B1"), bad], [1, 1], [1, 1], [1, 2], [1, 1], [Kind.UPDATE] * 2)
    assert tangle.tips() == (name_id("B1"),)
    assert tangle.approval_weight(name_id("A1")) == 2


@pytest.mark.parametrize(
    ("tx_id", "issuer", "error"),
    [
        (b"short", 1, MalformedIdentifier),
        (b"i" * 32, 2**15, MalformedTransaction),
        (b"i" * 32, -2, MalformedTransaction),
    ],
)
def test_a_row_that_does_not_fit_changes_nothing(tx_id, issuer, error):
    tangle = draw("A1:[G]")
    with pytest.raises(error):
        tangle.attach(tx_id, (name_id("A1"),), issuer, 1, Kind.UPDATE)
    assert len(tangle) == len(tangle.graph) == 2
    assert tangle.tips() == (name_id("A1"),)
    tangle.attach(name_id("B1"), (name_id("A1"),), 1, 1, Kind.UPDATE)
    assert tangle.approval_weight(name_id("A1")) == 2


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=60), st.lists(st.binary(max_size=33), max_size=9))
@SLOW
def test_ids_are_found_where_they_were_put(ids, others):
    found = Ids()
    known = {}
    for tx_id in ids:
        if tx_id not in known:
            assert found.add(tx_id)
            known[tx_id] = len(found) - 1
    assert list(found) == list(known)
    assert [found[at] for at in known.values()] == list(known)
    for tx_id in (*known, *others):
        assert found.find(tx_id) == known.get(tx_id, -1)
    with pytest.raises(IndexError):
        found[len(known)]


@pytest.mark.parametrize("reserved", [0, 70, 5000])
def test_many_ids(reserved):
    found = Ids()
    found.reserve(reserved)
    for number in range(5000):
        assert found.add(name_id(f"{number}"))
    assert all(found.find(name_id(f"{number}")) == number for number in range(5000))
    assert all(found.find(name_id(f"other {number}")) == -1 for number in range(5000))


def test_columns_keep_their_rows_when_they_grow():
    columns = Columns()
    for at in range(1000):
        columns.append(at - 1, -1, at % 3, at * 2**33, at % 7)
        columns.views.mask[at * columns.words] = at
    columns.room_for(70)
    assert columns.words == 3
    assert columns.column("first").tolist() == list(range(-1, 999))
    assert columns.column("round").tolist() == [at * 2**33 for at in range(1000)]
    assert columns.column("mask").reshape(1000, 3)[:, 0].tolist() == list(range(1000))
    assert not columns.column("mask").reshape(1000, 3)[:, 1:].any()


def test_searches_go_on_after_their_stamps_ran_out():
    tangle = draw("A1:[G]; B1:[A1]; C1:[G]")
    tangle.graph._stamp = 2**31 - 6
    for _ in range(4):
        assert tangle.in_cone(name_id("A1"), name_id("B1"))
        assert not tangle.in_cone(name_id("A1"), name_id("C1"))
        assert tangle.confirmed_within(name_id("A1"), name_id("B1")) == {0, 1}
    assert tangle.graph._stamp < 100


def test_the_reference_itself():
    """Two graphs small enough to know by heart."""
    _, reference = build(
        [(name_id("G"), (), None, 0, Kind.GENESIS), (name_id("1"), (name_id("G"),), 0, 1, Kind.UPDATE)]
    )
    assert nx.is_directed_acyclic_graph(reference.graph)
    assert reference.weight(name_id("G")) == 1
    assert reference.depth(name_id("1")) == 1
    assert reference.cover(name_id("1"), 1) == 1


def test_an_anchored_checkpoint_stands_whatever_happens_to_weights():
    tangle = draw("A1@1!:[G]; B1@1!:[G]; C1@1:[B1]; A2@2!:[C1]; D1@2:[A2]")
    assert tangle.entry == name_id("G")
    tangle.anchor(name_id("B1"))
    assert tangle.entry == name_id("G"), "one round alone: its own tips would be out of reach"
    tangle.anchor(name_id("A2"))
    assert tangle.entry == name_id("B1"), "although only A1 came before it, and nobody confirmed either"
    tangle.mark_faulty(2)
    assert tangle.entry == name_id("B1")


def test_covers_of_the_newest_rounds_are_at_hand():
    covers = draw("; ".join(f"A{n}@{n}:[{'G' if n == 1 else f'A{n - 1}'}]" for n in range(1, 20)))._covers
    assert sorted(covers._rounds) == list(range(12, 20))


def test_a_graph_that_nears_the_line_is_compiled_ahead(monkeypatch):
    asked = []
    monkeypatch.setattr(engine, "_prepare", lambda: asked.append(True))
    with compiling_from(100):
        tangle = Tangle(2)
        for number in range(80):
            tangle.attach(bytes([number]) * 32, (), None, 0, Kind.GENESIS)
            assert bool(asked) == (number + 1 >= 75)
    assert not tangle.graph._engine.compiled
