"""A fail-over proposal may repeat an earlier one, although more updates could be listed meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dag.bodies import AcknowledgementBody, Kind, ProposalBody, UpdateBody, commit
from dag.ids import sha256
from node.audit.checks import updates
from node.audit.cone import Cone
from node.audit.dossier import Ledger
from node.audit.notes import Link
from tests.audit.test_cone import Stub

ANCHOR = sha256(b"before")
UPDATE = UpdateBody(1, 1, 1, commit(bytes(32)), bytes(16), bytes(32))
CLOSE, REVEAL = AcknowledgementBody(None, close=True), AcknowledgementBody(bytes(32))
QUORUM = 3


def name(text: str) -> bytes:
    return sha256(text.encode())


EARLY = tuple(sorted((name("U0"), name("U1"))))


class SimpleProposal(ProposalBody):
    """A proposal of which only the updates matter."""

    def __init__(self, updates: tuple[bytes, ...]) -> None:
        object.__setattr__(self, "updates", updates)
        object.__setattr__(self, "reveals", ())


@pytest.fixture
def graph() -> dict[bytes, Stub]:
    """U0, U1 and U2 are closed by three members; below P0 only U0 and U1 are revealed, U2 later, below P1."""
    rows = [
        ("U0", 0, UPDATE, ("-", "-")),
        ("U1", 1, UPDATE, ("U0", "U0")),
        ("U2", 2, UPDATE, ("U1", "U1")),
        ("C0", 0, CLOSE, ("U2", "U2")),
        ("C1", 1, CLOSE, ("U2", "C0")),
        ("C2", 2, CLOSE, ("U2", "C1")),
        ("R0", 0, REVEAL, ("C2", "C2")),
        ("R1", 1, REVEAL, ("C2", "R0")),
        ("P0", 0, SimpleProposal(EARLY), ("R0", "R1")),
        ("R2", 2, REVEAL, ("C2", "P0")),
        ("P1", 1, SimpleProposal(EARLY), ("R2", "R2")),
    ]
    made = {}
    for number, (label, issuer, body, parents) in enumerate(rows):
        above = tuple(ANCHOR if parent == "-" else name(parent) for parent in parents)
        kind = Kind.UPDATE if body is UPDATE else body.kind
        made[name(label)] = Stub(name(label), above, 2, number, kind, body, issuer)
    return made


def findings(graph: dict[bytes, Stub], recorded: list[str]) -> list[tuple[str, str]]:
    issuers, head = {tx_id: tx.issuer_index for tx_id, tx in graph.items()}, name(recorded[-1])
    ledger = Ledger(graph, issuers, Cone(graph, issuers, head), graph[head].body)
    rows = [SimpleNamespace(proposal=name(label), updates_root=b"root") for label in recorded]
    here = SimpleNamespace(quorum=QUORUM, row=SimpleNamespace(proposals=rows), proposed=rows[-1])
    link = Link("updates", 2)
    with pytest.MonkeyPatch.context() as patch:  # what U2 locked is a sound update
        patch.setattr(updates, "is_malformed", lambda *_: False)
        updates._check_listed(SimpleNamespace(here=here), ledger, link)
    return [(finding.status, finding.subject) for finding in link.findings]


def test_the_cone_of_the_proposal_repeated_decides(graph):
    assert findings(graph, ["P0", "P1"]) == []


@pytest.mark.parametrize("above", ["P1", "R2"], ids=["a repeat", "what left one out, apart from the first"])
@pytest.mark.parametrize("first", [True, False])
def test_of_several_repeated_one_that_obeyed_is_enough(graph, above, first):
    """Whichever id comes first: a repeat of a repeat is no lie, nor what repeats a liar's proposal beside an honest one's."""
    label = next(f"L{k}" for k in range(99) if (name(f"L{k}") < name("P0")) == first)
    for new, parents in ((label, (above, above)), ("P9", ("P1", label))):
        ids = tuple(name(parent) for parent in parents)
        graph[name(new)] = Stub(name(new), ids, 2, 20, Kind.PROPOSAL, SimpleProposal(EARLY), 3)
    assert findings(graph, ["P0", "P1", label, "P9"]) == []


def test_repeats_of_a_lie_excuse_none(graph):
    graph[name("P2")] = Stub(name("P2"), (name("P1"),) * 2, 2, 20, Kind.PROPOSAL, SimpleProposal(EARLY), 3)
    assert findings(graph, ["P1", "P2"]) == [("falsified", f"update {name('U2').hex()}")]


def test_without_an_earlier_proposal_on_chain_the_update_was_left_out(graph):
    assert findings(graph, ["P1"]) == [("falsified", f"update {name('U2').hex()}")]


def test_an_earlier_proposal_out_of_sight_leaves_it_open(graph):
    assert findings(graph, ["P9", "P1"]) == [("unchecked", f"update {name('U2').hex()}")]
