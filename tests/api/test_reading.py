"""`medweave ledger --url` against the real routes of a node."""

import pytest

from dag.ids import cid_of
from dag.proofs.checkpoint import cosign
from dag.proofs.notes import Note, TreeHead
from dag.store.snapshot import Snapshot
from node.cli.ledger_sources import Remote, find
from node.errors import PeerProblem


def test_a_ledger_is_read_whole_over_the_api(client, service):
    remote = Remote("http://testserver/", client)
    steps = []
    held = list(remote.transactions(lambda *step: steps.append(step)))
    expected = service.publisher.read(lambda ledger: [tx.raw for _, tx in ledger.since(0, 100_000)])
    assert [tx.raw for tx in held] == expected
    assert steps[-1] == ("fetching", len(expected), len(expected))
    members = remote.members()
    assert [member.name for member in members.members] == [hospital.name for hospital in service.view.hospitals]
    assert members.consortium == service.chain.deployment.consortium
    snapshot = Snapshot.of_transactions(held, "node", members)
    tips = service.publisher.read(lambda ledger: ledger.tips())
    assert set(snapshot.tangle.tips()) == set(tips)
    confirmed = service.publisher.read(lambda ledger: {tx.id for tx in held if ledger.is_confirmed(tx.id)})
    assert {tx.id for tx in held if snapshot.tangle.is_confirmed(tx.id)} == confirmed
    assert find(snapshot, cid_of(tips[0])) == tips[0]


def test_the_cosigned_head_is_served_once_there_is_one(client, service):
    answer = client.get("/v1/checkpoint")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "cosign" in answer.json()["detail"]
    head = TreeHead("medweave/x/log", 1, b"r" * 32)
    note = Note(head.render(), (cosign(head, b"k" * 32, 7),))
    service.home.checkpoint.write_text(note.render())
    try:
        assert Remote("http://testserver", client).checkpoint() == note
        service.home.checkpoint.write_text("nonsense")
        with pytest.raises(PeerProblem, match="checkpoint"):
            Remote("http://testserver", client).checkpoint()
    finally:
        service.home.checkpoint.unlink()
