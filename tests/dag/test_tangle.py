"""The incremental index against a slow reference on networkx."""

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.errors import MissingParent, UnknownTransaction
from dag.tangle import Tangle
from tests.dag.support import draw, name_id

A, B, C, D = range(4)


@st.composite
def graphs(draw_):
    """A random graph as (tangle, networkx graph with edges child -> parent)."""
    tangle, graph = Tangle(3), nx.DiGraph()
    tangle.attach(name_id("G"), (), None, 0, Kind.GENESIS)
    graph.add_node(name_id("G"), issuer=-1, round=0)
    ids = [name_id("G")]
    for number in range(draw_(st.integers(0, 25))):
        back = st.integers(0, min(len(ids), 6) - 1)
        parents = (ids[-1 - draw_(back)], ids[-1 - draw_(back)])
        issuer, round_ = draw_(st.integers(0, 4)), 1 + number // 8 + draw_(st.integers(0, 1))
        tx_id = name_id(f"{number}")
        tangle.attach(tx_id, parents, issuer, round_, Kind.UPDATE)
        graph.add_node(tx_id, issuer=issuer, round=round_)
        graph.add_edges_from((tx_id, parent) for parent in parents)
        ids.append(tx_id)
    return tangle, graph, ids


def reference_weight(graph: nx.DiGraph, tx_id: bytes) -> int:
    issuers = {graph.nodes[other]["issuer"] for other in nx.ancestors(graph, tx_id) | {tx_id}}
    return len(issuers - {-1})


@given(graphs())
@settings(deadline=None)
def test_weights_tips_and_depths(made):
    tangle, graph, ids = made
    for tx_id in ids:
        assert tangle.approval_weight(tx_id) == reference_weight(graph, tx_id)
        assert tangle.is_confirmed(tx_id) == (reference_weight(graph, tx_id) >= 3)
        assert tangle.parents(tx_id) == tuple(sorted(graph.successors(tx_id), key=ids.index))
        assert set(tangle.approvers(tx_id)) == set(graph.predecessors(tx_id))
        paths = nx.single_source_bellman_ford_path_length(graph, tx_id, weight=lambda *_: -1)
        assert tangle.depth(tx_id) == -paths[ids[0]]
    assert set(tangle.tips()) == {tx_id for tx_id in ids if graph.in_degree(tx_id) == 0}
    assert list(tangle.ids()) == ids
    assert len(tangle) == len(ids)


@given(graphs(), st.data())
@settings(deadline=None)
def test_cones(made, data):
    tangle, graph, ids = made
    one, two = data.draw(st.sampled_from(ids)), data.draw(st.sampled_from(ids))
    past = nx.descendants(graph, one) | {one}
    assert set(tangle.cone(one)) == past
    assert list(tangle.cone(one)) == sorted(past, key=ids.index, reverse=True)
    assert tangle.in_cone(two, one) == (two in past)
    assert tangle.in_cone(two, [one, two])
    assert set(tangle.cone(one, stop={two})) == reference_cone(graph, one, {two})


def reference_cone(graph: nx.DiGraph, start: bytes, stop: set[bytes]) -> set[bytes]:
    pruned = graph.subgraph(set(graph) - stop)
    return nx.descendants(pruned, start) | {start} if start in pruned else set()


@given(graphs(), st.data())
@settings(deadline=None)
def test_what_a_peer_lacks(made, data):
    tangle, graph, ids = made
    known = data.draw(st.lists(st.sampled_from([*ids, b"?" * 32]), max_size=4))
    theirs = set(known)
    for tx_id in known:
        theirs |= nx.descendants(graph, tx_id) if tx_id in graph else set()
    assert tangle.beyond(known) == [tx_id for tx_id in ids if tx_id not in theirs]


@given(graphs(), st.data())
@settings(deadline=None)
def test_confirmation_inside_a_cone(made, data):
    tangle, graph, ids = made
    heads = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=2))
    tx_id = data.draw(st.sampled_from(ids))
    cone = set(heads).union(*(nx.descendants(graph, head) for head in heads))
    approving = (nx.ancestors(graph, tx_id) | {tx_id}) & cone if tx_id in cone else set()
    assert tangle.confirmed_within(tx_id, heads) == {graph.nodes[other]["issuer"] for other in approving} - {-1}


@given(graphs(), st.data())
@settings(deadline=None)
def test_round_cone(made, data):
    tangle, graph, ids = made
    head = data.draw(st.sampled_from(ids))
    round_ = graph.nodes[head]["round"]
    later = graph.subgraph([tx_id for tx_id in ids if graph.nodes[tx_id]["round"] >= round_])
    inside = nx.descendants(later, head) | {head}
    assert tangle.round_cone(head) == tuple(sorted(tx_id for tx_id in inside if graph.nodes[tx_id]["round"] == round_))


def test_one_member_counts_once_however_much_it_posts():
    tangle = draw("A1:[G]; A2:[A1]; A3:[A2]; A4:[A3]; B1:[A1]")
    assert tangle.approval_weight(name_id("A1")) == 2
    assert tangle.approval_weight(name_id("A2")) == 1
    assert tangle.approved_by(name_id("A1"), B)
    assert not tangle.approved_by(name_id("A2"), B)


def test_an_equivocator_counts_for_neither_side():
    tangle = draw("D1:[G]; D2:[G]; A1:[D1]; B1:[D2]; C1:[A1,B1]; A2:[C1]; B2:[A1]")
    tangle.mark_conflict(name_id("D1"), name_id("D2"))
    assert tangle.is_faulty(D)
    assert tangle.approval_weight(name_id("D1")) == 3
    assert tangle.confirmed_within(name_id("A1"), name_id("A2")) == {A, C}
    assert tangle.confirmed_within(name_id("D1"), name_id("A2")) == frozenset()
    assert tangle.confirmed_within(name_id("D1"), name_id("B2")) == {A, B, D}, "that cone knows one half only"


def test_an_old_fault_does_not_void_a_later_round():
    tangle = draw("D1:[G]; D2:[G]; A1:[D1,D2]; D3@2:[A1]; B1@2:[D3]")
    tangle.mark_conflict(name_id("D1"), name_id("D2"))
    assert tangle.confirmed_within(name_id("D3"), name_id("B1")) == {B, D}
    assert tangle.confirmed_within(name_id("A1"), name_id("B1")) == {A, B}


def test_entry_keeps_one_round_back():
    two = "A1:[G]; B1:[A1]; C1:[B1]"
    assert draw(two).entry == name_id("G")
    confirmed = "A1@1!:[G]; B1@1!:[A1]; C1:[B1]; D1:[C1]; A2@2!:[D1]; B2:[A2]; C2:[B2]"
    assert draw(confirmed).entry == name_id("A1")
    assert draw(confirmed + "; A3@3!:[C2]").entry == name_id("A1"), "round 3's is not confirmed yet"
    assert Tangle(3).entry is None


def test_entry_follows_a_long_round():
    chain = "; ".join(f"{'ABC'[n % 3]}{n}:[{'ABC'[(n - 1) % 3]}{n - 1}]" for n in range(1, 3000))
    tangle = draw("A0:[G]; " + chain)
    assert 1900 <= tangle.depth(tangle.entry) <= 2000
    assert tangle.is_confirmed(tangle.entry)


def test_locator_spans_the_history():
    tangle = draw("A0:[G]; " + "; ".join(f"A{n}:[A{n - 1}]" for n in range(1, 500)))
    locator = tangle.locator()
    assert locator[0] == name_id("A499")
    assert name_id("G") in locator
    assert len(locator) < 45


def test_attaching_needs_parents_and_is_idempotent():
    tangle = draw("A1:[G]")
    with pytest.raises(MissingParent) as caught:
        tangle.attach(name_id("B1"), (name_id("A1"), name_id("X")), B, 1, Kind.UPDATE)
    assert caught.value.ids == (name_id("X"),)
    tangle.attach(name_id("A1"), (name_id("G"),), B, 1, Kind.UPDATE)
    assert tangle.issuer(name_id("A1")) == A
    assert tangle.kind(name_id("A1")) is Kind.ACKNOWLEDGEMENT
    assert tangle.round(name_id("A1")) == 1
    with pytest.raises(UnknownTransaction):
        tangle.approval_weight(name_id("X"))


@given(graphs())
@settings(deadline=None)
def test_attaching_many_is_attaching_each(made):
    tangle, graph, ids = made
    rows = [
        (
            tx_id,
            tangle.parents(tx_id),
            None if tangle.issuer(tx_id) < 0 else tangle.issuer(tx_id),
            tangle.round(tx_id),
            tangle.kind(tx_id),
        )
        for tx_id in ids
    ]
    again = Tangle(3)
    again.attach_many(iter(rows))
    again.attach_many(rows[:3])
    assert list(again.ids()) == ids
    assert again.tips() == tangle.tips()
    for tx_id in ids:
        assert again.approval_weight(tx_id) == tangle.approval_weight(tx_id)
        assert again.cover(tx_id, graph.nodes[tx_id]["round"]) == tangle.cover(tx_id, graph.nodes[tx_id]["round"])
