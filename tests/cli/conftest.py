"""What the tests of `medweave ledger` share: a ledger file, a node that answers, hospitals with a chain."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from eth_account import Account

from chain.anvil import Anvil
from crypto import secrets
from dag.ids import cid_of
from dag.ledger import Ledger
from dag.store.snapshot import Snapshot
from dag.store.sqlite import Store
from node.cli.main import main
from node.config import ChainSection, NodeConfig
from node.config import Hospital as HospitalSection
from node.home import Home
from node.storage import FileStore
from tests.dag.played import play, witnesses
from tests.dag.support import context

MEMBERS = 4
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ledger")
    with Store(root / "ledger.sqlite") as store:
        play(Ledger(store, lambda: context(MEMBERS)), MEMBERS, 2)
    (root / "members.json").write_text(witnesses(MEMBERS).to_json())
    return root


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["ledger", *map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


@pytest.fixture
def ask(run):
    """Runs a command with --json; what it printed."""

    def call(*arguments: object, code: int = 0) -> dict:
        ended, out, err = run(*arguments, "--json")
        assert ended == code, err
        return json.loads(out)

    return call


@pytest.fixture(scope="module")
def held(folder) -> Snapshot:
    with Store(folder / "ledger.sqlite", read_only=True) as store:
        transactions = list(Snapshot.of_store(store).transactions())
    return Snapshot.of_transactions(transactions, "memory", witnesses(MEMBERS))


@pytest.fixture
def reading(folder):
    return ("--file", folder / "ledger.sqlite", "--members", folder / "members.json")


class Node:
    """What `/v1` of a node answers, from a snapshot; `lie` changes an answer. The real routes: tests/api/test_reading.py."""

    def __init__(self, held: Snapshot) -> None:
        self.held, self.lie, self.drip = held, None, 0.0
        self.ids = [cid_of(tx_id) for tx_id in held.tangle.ids()]

    def answer(self, path: str) -> bytes:
        path, _, query = path.partition("?")
        after = dict(pair.split("=") for pair in query.split("&") if pair).get("cursor")
        if path.endswith("/raw"):
            return self.held.get(list(self.held.tangle.ids())[self.ids.index(path.split("/")[3])]).raw
        if path == "/v1/transactions":
            start = self.ids.index(after) + 1 if after else 0
            page = self.ids[start : start + 20]
            return json.dumps(
                {"transactions": [{"id": cid} for cid in page], "next": page[-1] if page else None}
            ).encode()
        if path == "/v1/status":
            return json.dumps({"consortium": self.held.members.consortium.hex()}).encode()
        rows = [
            {"index": m.index, "name": m.name, "account": f"0x{m.address.hex()}"} for m in self.held.members.members
        ]
        return json.dumps({"members": rows}).encode()


@pytest.fixture
def node(held):
    served = Node(held)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = served.answer(self.path)
            if served.lie:
                body = served.lie(self.path, body)
            self.send_response(200)
            self.end_headers()
            for piece in [body] if not served.drip else [body[at : at + 1] for at in range(len(body))]:
                time.sleep(served.drip)
                self.wfile.write(piece)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Homes of four hospitals after two rounds, and the endpoint of their chain: real contracts, ledgers and blobs."""
    from tests.audit.network import write_run  # brings torch along: only for the tests that need it

    root = tmp_path_factory.mktemp("network")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
            patch.setattr(secrets, name, value)
        patch.setenv("MEDWEAVE_TESTING", "1")
        patch.setenv("MEDWEAVE_PASSWORD", PASSWORD)
        net = write_run(root, 2)
        with Anvil(None, root / "chain" / "state.json") as anvil:
            yield [make_home(root / f"home-{k}", net, k, anvil.url) for k in range(MEMBERS)], anvil.url


def make_home(root, net, k: int, rpc: str):
    """What a member of the simulated network holds, as its node would have written it."""
    home, member = Home(root), net.nodes[k]
    hospital = HospitalSection(name=f"Hospital {k}", port=closed_port(), url="http://127.0.0.1:1")
    home.secrets.mkdir(parents=True)
    NodeConfig(hospital=hospital, chain=ChainSection(rpc=rpc)).write(home.config_file)
    shutil.copyfile(root.parent / "consortium.json", root / "consortium.json")
    home.account_file.write_text(
        json.dumps(Account.encrypt(net.accounts[k].key, PASSWORD, kdf="pbkdf2", iterations=1000))
    )
    home.box_file.write_bytes(secrets.protect(secrets.BoxKey.generate().secret_bytes(), PASSWORD))
    blobs = FileStore(home.blobs)
    for cid in member.blobs.store.iterate():
        blobs.put(member.blobs.store.get(cid))
    raws, rules = member.publisher.read(
        lambda ledger: ([tx.raw for _, tx in ledger.since(0, 100_000)], ledger._provide())
    )
    with Store(home.ledger) as store:
        assert Ledger(store, lambda: rules).receive_many(raws).refused == ()
    return root


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
