"""Pictures and GraphML: well-formed, the same bytes every time, nothing on top of anything else, nothing unsaid."""

import itertools
import math
import random
import re
import xml.etree.ElementTree as ET

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.drawing.graphml import to_graphml, to_networkx
from dag.drawing.layout import RADIUS, place
from dag.drawing.region import Region, cone_ids, rounds_region
from dag.drawing.svg import draw
from dag.drawing.thinning import thin
from dag.errors import UnknownTransaction
from dag.ids import cid_of
from dag.tangle import Tangle
from tests.dag.lockstep import lockstep
from tests.dag.support import draw as sketch
from tests.dag.support import name_id

SVG = "{http://www.w3.org/2000/svg}"
NAMES = {0: "Charité Universitätsmedizin Berlin", 1: 'St. <Mary> & "Co"', 2: "bad \x00\x1b\ud800\uffff name"}
graphs = st.builds(lockstep, st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))


def whole(tangle: Tangle, **options) -> Region:
    return rounds_region(tangle, 0, 9, NAMES, **options)


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture.encode())  # noqa: S314  (our own output)


def dots(root: ET.Element) -> list[ET.Element]:
    return [group for group in root.findall(f"{SVG}g") if group.find(f"{SVG}title") is not None]


@settings(max_examples=40, deadline=None)
@given(graphs, st.sampled_from(["kind", "round"]))
def test_every_transaction_and_approval_is_drawn_once(tangle, colour):
    region = whole(tangle)
    root = parsed(draw(region, colour=colour))
    titles = [group.findtext(f"{SVG}title") for group in dots(root)]
    assert len(titles) == len(tangle)
    assert {re.search(r"\nbafy\w+", title).group().strip() for title in titles} == {cid_of(i) for i in tangle.ids()}
    edges = [path for path in root.iter(f"{SVG}path") if path.get("class", "").startswith("edge")]
    assert len(edges) == sum(len(tangle.parents(tx_id)) for tx_id in tangle.ids())
    hollow = sum(" open" in str(ET.tostring(group)) for group in dots(root))
    assert hollow == sum(not dot.confirmed for dot in region.dots)


@settings(max_examples=60, deadline=None)
@given(graphs, st.integers(5, 60))
def test_no_two_dots_touch_and_the_past_is_on_the_left(tangle, most):
    region = thin(whole(tangle), most)
    layout = place(region)
    places = list(layout.places.values())
    for number, (x, y) in enumerate(places):
        assert all(math.hypot(x - a, y - b) >= 2 * RADIUS for a, b in places[:number])
    for dot in region.dots:
        assert all(layout.places[parent][0] < layout.places[dot.id][0] for parent in dot.parents)
        assert layout.places[dot.id][1] == layout.lanes[dot.lane]


@settings(max_examples=40, deadline=None)
@given(graphs, st.sampled_from(["kind", "round"]))
def test_everything_lies_inside_the_picture(tangle, colour):
    root = parsed(draw(whole(tangle), colour=colour))
    _, _, width, height = map(int, root.get("viewBox").split())
    for text in root.iter(f"{SVG}text"):
        shown = "".join(text.itertext()).removeprefix(text.findtext(f"{SVG}title") or "")
        assert 0 <= float(text.get("x")) + 9.5 * len(shown) * (1 if text.get("font-size") else 0.8) <= width
        assert 0 <= float(text.get("y")) <= height
    for path in root.iter(f"{SVG}path"):
        if " " in path.get("d") and "l" not in path.get("d"):
            numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", path.get("d"))]
            assert all(-1 <= number <= max(width, height) for number in numbers if "h-" not in path.get("d"))


def test_legend_items_do_not_overlap():
    for members, steps in ((3, 9), (9, 60)):
        for colour in ("kind", "round"):
            root = parsed(draw(whole(lockstep(members, steps, rounds=6)), colour=colour))
            items = [g for g in root.findall(f"{SVG}g") if g.find(f"{SVG}text") is not None]
            boxes = sorted(
                (float(t.get("y")), float(t.get("x")), len(t.text)) for t in (g.find(f"{SVG}text") for g in items)
            )
            for (y, x, letters), (other_y, other_x, _) in itertools.pairwise(boxes):
                assert y != other_y or x + 7.2 * letters + 2 * RADIUS < other_x


def test_the_same_region_gives_the_same_bytes_in_whatever_order_it_arrived():
    tangle = lockstep(5, 8)
    other = Tangle(tangle.quorum)
    left = list(tangle.ids())[1:]
    random.Random(3).shuffle(left)
    other.attach(name_id("G"), (), None, 0, Kind.GENESIS)
    while left:
        ready = next(tx_id for tx_id in left if all(parent in other for parent in tangle.parents(tx_id)))
        left.remove(ready)
        parents = tangle.parents(ready)
        other.attach(ready, (parents * 2)[:2], tangle.issuer(ready), tangle.round(ready), tangle.kind(ready))
    assert draw(whole(tangle)) == draw(whole(other))
    assert to_graphml(whole(tangle)) == to_graphml(whole(other))


def test_a_picture_needs_nothing_from_elsewhere_and_speaks_to_everybody():
    picture = draw(whole(lockstep(3, 5)))
    assert not re.search(r"<script|<image|<foreignObject|href|@import|url\(|\son\w+=|<!", picture)
    root = parsed(picture)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "title desc"
    assert {child.get("id") for child in root} >= {"title", "desc"}
    description = root.findtext(f"{SVG}desc")
    assert "One lane each for genesis, Charité Universitätsmedizin Berlin" in description
    assert re.search(r"\d+ of \d+ confirmed by 2 members or more", description)
    assert "prefers-color-scheme: dark" in picture


def test_names_cannot_break_the_picture():
    root = parsed(draw(whole(lockstep(3, 4))))
    names = [
        text.findtext(f"{SVG}title") for text in root.findall(f"{SVG}text") if text.find(f"{SVG}title") is not None
    ]
    assert names == ["genesis", NAMES[0], NAMES[1], "bad \ufffd\ufffd\ufffd\ufffd name"]
    parsed(to_graphml(whole(lockstep(3, 4))))
    hostile = {0: "\x0b]]><script>\ufffe\x7f", 1: "\n" * 40}
    parsed(draw(rounds_region(lockstep(2, 3), 0, 2, hostile)))
    parsed(to_graphml(rounds_region(lockstep(2, 3), 0, 2, hostile)))


def test_a_large_region_is_thinned_and_says_so():
    tangle = lockstep(20, 120)
    region = whole(tangle)
    picture = draw(region)
    root = parsed(picture)
    assert len(dots(root)) <= 400
    gone = sum(int(n) for n in re.findall(r"(\d+) \w+", picture.partition("Thinned out: ")[2].partition(".")[0]))
    assert gone == len(region.dots) - len(dots(root))
    assert f"{len(dots(root))} of {len(region.dots)} transactions" in root.findtext(f"{SVG}desc")
    assert len(picture) < 400_000


@settings(max_examples=40, deadline=None)
@given(graphs, st.integers(1, 40))
def test_thinning_keeps_who_is_an_ancestor_of_whom(tangle, most):
    region = whole(tangle)
    thinned = thin(region, most)
    assert len(thinned.dots) <= most
    reach = nx.transitive_closure_dag(to_networkx(region))
    for dot in thinned.dots:
        assert len(dot.parents) <= 2
        assert all(reach.has_edge(dot.cid, cid_of(parent)) for parent in dot.parents)
        drawn = {other.cid for other in thinned.dots}
        assert bool(dot.parents) == any(ancestor in drawn for ancestor in reach.successors(dot.cid))
    kept = {dot.id for dot in thinned.dots}
    assert sum(count for _, count in thinned.left_out) == sum(dot.id not in kept for dot in region.dots)


@settings(max_examples=40, deadline=None)
@given(graphs)
def test_graphml_tells_other_tools_the_same(tangle):
    """DAG-10: what networkx reads back is the tangle."""
    graph = nx.parse_graphml(to_graphml(whole(tangle)))
    assert set(graph) == {cid_of(tx_id) for tx_id in tangle.ids()}
    assert nx.is_directed_acyclic_graph(graph)
    for tx_id in tangle.ids():
        node = graph.nodes[cid_of(tx_id)]
        assert set(graph.successors(cid_of(tx_id))) == {cid_of(parent) for parent in tangle.parents(tx_id)}
        assert (node["kind"], node["round"], node["issuer"]) == (
            tangle.kind(tx_id),
            tangle.round(tx_id),
            tangle.issuer(tx_id),
        )
        assert (node["weight"], node["depth"]) == (tangle.approval_weight(tx_id), tangle.depth(tx_id))
        issuers = {graph.nodes[cid]["issuer"] for cid in nx.ancestors(graph, cid_of(tx_id))} | {node["issuer"]}
        assert node["weight"] == len(issuers - {-1})


def test_regions_are_cut_as_asked():
    tangle = sketch("A1:[G]; B1:[A1]; A2@2:[B1]; B2@2!:[A2]; A3@3:[B2]")
    two = rounds_region(tangle, 2, 2)
    assert {dot.id for dot in two.dots} == {name_id("A2"), name_id("B2")}
    assert [dot.outside for dot in two.dots] == [1, 0]
    assert {dot.id for dot in rounds_region(tangle, 2, 3, context=True).dots} >= {name_id("B1"), name_id("A3")}
    assert two.rounds == (2,)
    assert "stroke-dasharray: 2 3" in draw(two)
    empty = parsed(draw(rounds_region(tangle, 7, 7)))
    assert "0 transactions" in empty.findtext(f"{SVG}desc")
    with pytest.raises(UnknownTransaction):
        Region.of(tangle, [b"x" * 32], "")
    with pytest.raises(ValueError, match="colour"):
        draw(two, colour="mood")


def test_cones_stop_where_told():
    tangle = sketch("A1:[G]; B1:[A1]; A2:[A1,B1]; B2:[A2]")
    found, cut = cone_ids(tangle, name_id("B2"), 10)
    assert (set(found), cut) == ({name_id(n) for n in ("B2", "A2", "A1", "B1", "G")}, False)
    assert found[:2] == (name_id("B2"), name_id("A2"))
    assert cone_ids(tangle, name_id("B2"), 2) == ((name_id("B2"), name_id("A2")), True)
    future, _ = cone_ids(tangle, name_id("B1"), 10, tangle.approvers)
    assert set(future) == {name_id(n) for n in ("B1", "A2", "B2")}
    with pytest.raises(UnknownTransaction):
        cone_ids(tangle, b"x" * 32, 5)
