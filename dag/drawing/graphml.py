"""A region as a networkx graph and as GraphML, for analysis with other tools.

Nodes are transactions named by CID; an edge leads from a transaction to one that it approves.
Source: http://graphml.graphdrawing.org/specification.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dag.drawing.region import Region


def to_networkx(region: Region) -> Any:
    """The region as a `networkx.DiGraph`.

    Node attributes: `kind`, `round`, `issuer` (registry index, -1 for genesis), `hospital`, `depth`, `weight` (distinct
    approving members) and `confirmed`.
    """
    import networkx as nx

    names = dict(region.lanes)
    graph = nx.DiGraph(title=region.title, quorum=region.quorum)
    for dot in region.dots:
        graph.add_node(
            dot.cid,
            kind=str(dot.kind),
            round=dot.round,
            issuer=dot.lane,
            hospital=_clean(names[dot.lane]),
            depth=dot.depth,
            weight=dot.weight,
            confirmed=dot.confirmed,
        )
    cids = {dot.id: dot.cid for dot in region.dots}
    for dot in region.dots:
        graph.add_edges_from((cids[dot.id], cids[parent]) for parent in dot.parents)
    return graph


def to_graphml(region: Region) -> str:
    """The region as GraphML text; the same for the same region."""
    import networkx as nx

    return "\n".join(nx.generate_graphml(to_networkx(region), named_key_ids=True)) + "\n"


def _clean(name: str) -> str:
    """A name without characters that XML cannot hold: it comes from whoever registered it."""
    return "".join(mark if mark.isprintable() else "\ufffd" for mark in name)
