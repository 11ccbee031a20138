"""Random graphs for the index, and an exact, slow reference for everything it answers, on networkx."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field

import networkx as nx
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.index.engine import COMPILE_FROM, compile_from
from dag.tangle import Tangle
from tests.dag.support import name_id

KINDS = (Kind.UPDATE, Kind.ACKNOWLEDGEMENT, Kind.CHECKPOINT)


@contextmanager
def compiling_from(transactions: int):
    """Graphs made inside compile their kernels from this size on."""
    compile_from(transactions)
    try:
        yield
    finally:
        compile_from(COMPILE_FROM)


@dataclass
class Reference:
    """What a tangle must answer, computed anew for every question. Edges lead from child to parent."""

    quorum: int
    graph: nx.DiGraph = field(default_factory=nx.DiGraph)
    ids: list[bytes] = field(default_factory=list)
    faulty: set[int] = field(default_factory=set)
    anchored: set[bytes] = field(default_factory=set)

    def attach(self, tx_id, parents, issuer, round_, kind):
        issuer = -1 if issuer is None else issuer
        self.graph.add_node(tx_id, issuer=issuer, round=round_, kind=kind)
        self.graph.add_edges_from((tx_id, parent) for parent in parents)
        self.ids.append(tx_id)

    def past(self, *heads):
        """The heads and their ancestors."""
        return set(heads).union(*(nx.descendants(self.graph, head) for head in heads))

    def future(self, tx_id):
        """The transaction and what descends from it."""
        return {tx_id} | nx.ancestors(self.graph, tx_id)

    def issuers(self, ids):
        return {self.graph.nodes[tx_id]["issuer"] for tx_id in ids} - {-1}

    def weight(self, tx_id):
        return len(self.issuers(self.future(tx_id)) - self.faulty)

    def depth(self, tx_id):
        return -min(nx.single_source_bellman_ford_path_length(self.graph, tx_id, weight=lambda *_: -1).values())

    def tips(self):
        return tuple(tx_id for tx_id in self.ids if self.graph.in_degree(tx_id) == 0)

    def confirmed_within(self, tx_id, heads):
        return self.issuers(self.future(tx_id) & self.past(*heads)) if tx_id in self.past(*heads) else set()

    def of_round(self, round_, *, later=False):
        nodes = self.graph.nodes
        keep = [i for i in self.ids if nodes[i]["round"] == round_ or (later and nodes[i]["round"] > round_)]
        return self.graph.subgraph(keep)

    def round_cone(self, head):
        round_ = self.graph.nodes[head]["round"]
        inside = nx.descendants(self.of_round(round_, later=True), head) | {head}
        return tuple(sorted(tx_id for tx_id in inside if self.graph.nodes[tx_id]["round"] == round_))

    def cover(self, tx_id, round_):
        nodes = self.graph.nodes
        if nodes[tx_id]["round"] != round_:
            return 0
        inside = nx.descendants(self.of_round(round_), tx_id) | {tx_id}
        return sum({1 << nodes[i]["issuer"] for i in inside if nodes[i]["kind"] is Kind.UPDATE})

    def entry(self, window):
        """By the rule: no state but the graph."""
        nodes, rounds = self.graph.nodes, {}
        for place, tx_id in enumerate(self.ids):
            confirmed = self.weight(tx_id) >= self.quorum
            is_point = tx_id in self.anchored or (nodes[tx_id]["kind"] is Kind.CHECKPOINT and confirmed)
            if is_point:
                rounds.setdefault(nodes[tx_id]["round"], []).append((tx_id not in self.anchored, place))
        newest = sorted(rounds)[-2:]
        by_checkpoint = min(rounds[newest[0]])[1] if len(newest) == 2 else 0
        back = [at for at in range(max(0, len(self.ids) - window + 1)) if self.weight(self.ids[at]) >= self.quorum]
        return self.ids[max(by_checkpoint, *back[-1:], 0)]


@st.composite
def rows(draw, most=30, members=5, rounds=4, back=6):
    """Rows for `attach`, genesis first: members post on recent transactions, rounds go on but not strictly."""
    ids = [name_id("G")]
    made = [(ids[0], (), None, 0, Kind.GENESIS)]
    count = draw(st.integers(0, most))
    for number in range(count):
        reach = st.integers(1, min(len(ids), back))
        parents = (ids[-draw(reach)], ids[-draw(reach)])
        round_ = max(1, 1 + number * rounds // max(count, 1) - draw(st.integers(0, 1)))
        tx_id = name_id(f"{number}")
        made.append((tx_id, parents, draw(st.integers(0, members - 1)), round_, draw(st.sampled_from(KINDS))))
        ids.append(tx_id)
    return made


def build(made, quorum=3) -> tuple[Tangle, Reference]:
    tangle, reference = Tangle(quorum), Reference(quorum)
    for row in made:
        tangle.attach(*row)
        reference.attach(*row)
    return tangle, reference
