"""What a daemon does by itself after a round: cosign the head of the log, delete old ciphertexts (real contracts, clients and ledgers)."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from dag.bodies import CheckpointBody, Kind, ProposalBody
from dag.errors import Pruned
from dag.proofs.checkpoint import cosign, log_witnesses, parse_log_head
from dag.proofs.notes import Note, TreeHead
from dag.store.pruning import Pruning
from node.calling import Dialer
from node.consortium.view import ConsortiumView
from node.daemon.pruner import Pruner
from node.daemon.witness import LogWitness, fetch_head, present_witnesses
from node.errors import PeerProblem
from node.publishing.witness import Cosigner
from tests.flow.anvilnet import AnvilNet

SECONDS = 90.0
MEMBERS, QUORUM = 4, 3


@dataclass
class House:
    """The hospitals' witnesses, which ask each other under made-up addresses."""

    net: AnvilNet
    folder: Path
    views: list[ConsortiumView]
    """After one round, and after two."""

    def file(self, member: int) -> Path:
        return self.folder / f"member-{member}.checkpoint"

    def key(self, member: int) -> bytes:
        return bytes(self.net.accounts[member].key)

    def serve(self, url: str) -> Note:
        if not Path(url).exists():
            raise PeerProblem(f"{url}: no head yet")
        return Note.parse(Path(url).read_bytes())

    def witness(self, member: int, clock=lambda: 1_800_000_000.0) -> LogWitness:
        cosigner = Cosigner(self.file(member), self.key(member))
        publisher = self.net.nodes[member].publisher
        return LogWitness(self.net.deployment.consortium, member, cosigner, publisher, self.serve, clock)

    def view(self, rounds: int) -> ConsortiumView:
        view = self.views[rounds - 1]
        hospitals = tuple(replace(h, url=str(self.file(k))) for k, h in enumerate(view.hospitals))
        return replace(view, hospitals=hospitals)

    def head(self, member: int) -> tuple[int, int]:
        """Rounds under a member's head, and how many members signed it."""
        note = Note.parse(self.file(member).read_bytes())
        known = present_witnesses(self.net.deployment.consortium, self.view(2))
        return parse_log_head(note.text, known.consortium).size, len(log_witnesses(note, known))


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    with AnvilNet(tmp_path_factory.mktemp("anvil"), MEMBERS, QUORUM).running() as net:
        views = []
        for number in (1, 2):
            net.open_next()
            assert net.until(lambda number=number: net.over(number) and net.at_rest(), SECONDS)
            views.append(net.desks[0].follower.view)
        assert [row.finalised for row in views[1].rounds.values()] == [True, True]
        yield net, views


@pytest.fixture
def house(played, tmp_path) -> House:
    return House(played[0], tmp_path, played[1])


def test_every_member_signs_each_round_and_holds_what_the_others_signed(house):
    """A quorum's head accumulates at every node, and nobody was asked to do anything."""
    now = [1_800_000_000.0]
    witnesses = [house.witness(k, lambda: now[0]) for k in range(MEMBERS)]
    for rounds in (1, 2):
        for _ in range(2):
            for witness in witnesses:
                witness.step(house.view(rounds))
            now[0] += 3600
        assert [house.head(k) for k in range(MEMBERS)] == [(rounds, MEMBERS)] * MEMBERS


def test_nothing_is_written_or_asked_where_nothing_is_new(house):
    asked = []
    witness = house.witness(0)
    witness._fetch = lambda url: asked.append(url) or house.serve(url)
    witness.step(house.view(2))
    before, first = house.file(0).stat().st_mtime_ns, len(asked)
    witness.step(house.view(2))
    house.witness(0).step(house.view(2))  # after a restart: the head on disk is the one to sign
    assert house.file(0).stat().st_mtime_ns == before
    assert first == MEMBERS - 1


def test_a_log_that_does_not_contain_the_head_signed_before_is_not_signed(house, caplog):
    """As after a split view: this member once signed that round 1 was another."""
    other = TreeHead(f"medweave/{house.net.deployment.consortium.hex()}/log", 1, bytes(32))
    forged = Note(other.render(), (cosign(other, house.key(0), 1),)).render()
    house.file(0).write_text(forged)
    with caplog.at_level(logging.WARNING, "medweave.witness"):
        witness = house.witness(0)
        witness.step(house.view(2))
        witness.step(house.view(2))
    assert house.file(0).read_text() == forged
    assert caplog.text.count("is not signed") == 1
    healthy = house.witness(1)  # and nobody takes over such a head's lines
    healthy.step(house.view(2))
    assert house.head(1) == (2, 1)
    assert "does not fit" in caplog.text


def test_a_member_that_is_ahead_is_no_fault_and_one_that_is_behind_is_waited_for(house, caplog):
    house.witness(1).step(house.view(2))
    with caplog.at_level(logging.WARNING, "medweave.witness"):
        house.witness(0).step(house.view(1))
        house.witness(2).step(house.view(2))
    assert house.head(0) == (1, 1)
    assert house.head(2) == (2, 2)
    assert caplog.text == ""


def payloads(net: AnvilNet, member: int, number: int) -> tuple[list[str], list[str]]:
    """What a round's transactions name: ciphertexts, and statements."""
    said = net.nodes[member].publisher.read(lambda ledger: ledger.transactions(round=number, limit=1000))
    sums = [cid for tx in said if isinstance(tx.body, ProposalBody) for cid in tx.body.sums]
    sealed = [tx.payload for tx in said if tx.kind in {Kind.UPDATE, Kind.SHARE}]
    return [*sums, *sealed], [tx.payload for tx in said if isinstance(tx.body, CheckpointBody)]


def test_old_ciphertexts_are_deleted_and_proofs_stay(house):
    net, member = house.net, 3
    node = net.nodes[member]
    blobs, store = node.blobs.store, node.publisher._store
    assert Pruner(node.publisher, store, blobs, 0).step(house.view(2)) is None, "the default deletes nothing"
    pruner = Pruner(node.publisher, store, blobs, 1)
    assert pruner.step(house.view(1)).blobs == 0, "the newest round stays"
    old, statements = payloads(net, member, 1)
    young, _ = payloads(net, member, 2)
    held = [cid for cid in (*young, *statements) if blobs.has(cid)]
    freed = pruner.step(house.view(2))
    assert freed.below_round == 2
    assert freed.blobs > len(old)
    assert freed.bytes > 0
    assert not any(blobs.has(cid) for cid in old)
    assert all(blobs.has(cid) for cid in held)
    assert pruner.step(house.view(2)) is None
    with pytest.raises(Pruned):
        node.publisher.read(lambda ledger: Pruning(ledger, store).demand(old[0]))
    assert Pruner(node.publisher, store, blobs, 1).step(house.view(2)).blobs == 0, "after a restart"
    house.witness(member).step(house.view(2))
    assert house.head(member) == (2, 1)


class Answers(BaseHTTPRequestHandler):
    """Serves, by the first part of the path, what a member's node might."""

    said: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        body = self.said.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None:
        pass


def test_a_head_is_fetched_from_a_node_and_anything_else_is_refused(house):
    house.witness(0).step(house.view(1))
    note = house.file(0).read_bytes()
    Answers.said = {
        "/good/v1/checkpoint": note,
        "/junk/v1/checkpoint": b"\xff" * 99,
        "/big/v1/checkpoint": b"a" * (1 << 21),
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            assert fetch_head(Dialer(), f"{url}/good").render().encode() == note
            for what in ("junk", "big", "none"):
                with pytest.raises(PeerProblem, match="no head of the log"):
                    fetch_head(Dialer(), f"{url}/{what}")
        finally:
            server.shutdown()
            thread.join()
    with pytest.raises(PeerProblem):
        fetch_head(Dialer(), url)
