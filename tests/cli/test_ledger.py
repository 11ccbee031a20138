"""`medweave ledger` as a person uses it: on a ledger file, on a finished demo's hospitals and chain, on a node's REST."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import threading
import xml.etree.ElementTree as ET
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import networkx as nx
import pytest
from eth_account import Account

from chain.anvil import Anvil
from chain.client import Chain
from crypto import secrets
from dag.bodies import Kind
from dag.checkpoint import log_head
from dag.ids import cid_of
from dag.ledger import Ledger
from dag.notes import Note
from dag.proof import LogGrowth, TransactionProof
from dag.snapshot import Snapshot
from dag.store import Store
from dag.witnesses import Witnesses
from node.cli.main import main
from node.config import ChainSection, NodeConfig
from node.config import Hospital as HospitalSection
from node.home import Home, read_deployment, unlock_identity
from node.storage import FileStore
from tests.audit.network import write_run
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


def test_show_sums_up_the_ledger(ask, run, held, reading):
    content = ask("show", *reading)
    assert content["transactions"] == len(held)
    assert content["quorum"] == 3
    assert [member["name"] for member in content["members"]] == [f"Hospital {m}" for m in range(MEMBERS)]
    assert [row["round"] for row in content["rounds"]] == [0, 1, 2]
    assert content["rounds"][1]["confirmed"] == content["rounds"][1]["transactions"]
    code, out, _ = run("show", *reading[:2])
    assert code == 0
    assert "everybody who posted; name the members" in out


def test_show_prints_one_transaction_by_any_name(ask, run, held, reading):
    tx = next(held.transactions(Kind.UPDATE, 2))
    for name in (cid_of(tx.id), tx.id.hex(), tx.id.hex()[:12], cid_of(tx.id)[:20], f"0x{tx.id.hex()}"):
        content = ask("show", name, *reading)
        assert content["id"] == cid_of(tx.id)
    assert content["parents"] == [cid_of(parent) for parent in tx.parents]
    assert content["body"]["samples"] == 100
    assert content["confirmed"] is True
    assert run("show", cid_of(tx.id), *reading)[1].startswith(f"update of round 2  {cid_of(tx.id)}")


def test_names_that_name_nothing_or_too_much_are_bad_input(run, held, reading):
    genesis = cid_of(next(iter(held.tangle.ids())))
    for name, said in (("ab" * 32, "no transaction"), ("bafyrei", "8 characters"), (genesis[:8], "transactions in")):
        code, out, err = run("show", name, *reading)
        assert (code, out) == (3, "")
        assert said in err


def test_tips_and_cones(ask, run, held, reading):
    tips = ask("tips", *reading)["transactions"]
    assert {row["hex"] for row in tips} == {tip.hex() for tip in held.tangle.tips()}
    whole = ask("cone", tips[0]["id"], *reading)
    assert whole["complete"]
    assert {row["hex"] for row in whole["transactions"]} == {
        tx_id.hex() for tx_id in held.tangle.cone(held.tangle.tips()[0])
    }
    part = ask("cone", tips[0]["id"], "--limit", 3, *reading)
    assert (len(part["transactions"]), part["complete"]) == (3, False)
    genesis = next(iter(held.tangle.ids()))
    assert len(ask("cone", cid_of(genesis), "--future", *reading)["transactions"]) == len(held)
    code, out, err = run("cone", tips[0]["id"], "--limit", 2, *reading)
    assert (code, len(out.splitlines())) == (0, 2)
    assert "raise --limit" in err


def test_a_round_is_drawn(ask, run, held, reading, tmp_path):
    picture = tmp_path / "round.svg"
    content = ask("draw", picture, "--round", 2, *reading)
    count = sum(1 for _ in held.ids(round_=2))
    assert (content["transactions"], content["drawn"], content["left_out"]) == (count, count, {})
    root = ET.parse(picture).getroot()  # noqa: S314  (our own output)
    assert "Ledger, round 2" in root.findtext("{http://www.w3.org/2000/svg}title")
    before = picture.read_bytes()
    code, out, _ = run("draw", picture, "--round", 2, *reading)
    assert code == 0
    assert "One lane each for Hospital 0" in out
    assert picture.read_bytes() == before
    assert ask("draw", picture, "--round", 1, "--to", 2, "--most", 9, "--colour", "round", *reading)["drawn"] == 9
    code, _, err = run("draw", picture, "--round", 7, *reading)
    assert code == 3
    assert "holds rounds 0 to 2" in err
    assert run("draw", picture, "--round", 2, "--to", 1, *reading)[0] == 2


def test_export_and_graphml(ask, held, reading, tmp_path):
    graphml = tmp_path / "graph.xml"
    content = ask("export", tmp_path / "ledger.car", "--graphml", graphml, *reading)
    assert content["transactions"] == len(held)
    assert content["bytes"] == (tmp_path / "ledger.car").stat().st_size
    graph = nx.read_graphml(graphml)
    assert set(graph) == {cid_of(tx_id) for tx_id in held.tangle.ids()}
    assert len(graph.edges) == content["approvals"]
    assert not list(tmp_path.glob("*.part"))
    whole = ask("verify", tmp_path / "ledger.car", "--members", reading[3])
    assert {row["check"]: row["count"] for row in whole["findings"]}["blocks"] == len(held)
    assert whole["verdict"] == "verified"
    only = ask("export", "--graphml", graphml, "--round", 2, "--to", 2, *reading)
    assert only["transactions"] == sum(1 for _ in held.ids(round_=2))


def test_a_proof_convinces_with_the_members_alone(ask, run, held, reading, folder, tmp_path):
    tx = next(held.transactions(Kind.UPDATE, 1))
    proof = tmp_path / "tx.proof"
    assert ask("prove", cid_of(tx.id), "-o", proof, *reading)["log"] is False
    content = ask("verify", proof, "--members", folder / "members.json")
    assert content["transaction"] == cid_of(tx.id)
    assert content["verdict"] == "verified"
    assert len(content["signed by"]) == witnesses(MEMBERS).quorum
    assert run("verify", proof)[0] == 2
    proof.write_bytes(proof.read_bytes().replace(b"index 0", b"index 1").replace(b"index 3", b"index 2"))
    damaged = TransactionProof.parse(proof.read_bytes())
    assert damaged.transaction.id == tx.id
    proof.write_bytes(damaged.render().replace(b"model ", b"model 0")[: 10**6])
    assert ask("verify", proof, "--members", folder / "members.json", code=1)["verdict"] == "false"
    verdict = next(held.transactions(Kind.VERDICT, 1))
    code, _, err = run("prove", cid_of(verdict.id), "-o", proof, *reading)
    assert code == 1
    assert "no finalised round" in err


def test_proofs_need_to_know_who_is_a_member(run, held, reading, tmp_path):
    code, _, err = run("prove", cid_of(next(iter(held.tangle.ids()))), "-o", tmp_path / "x", *reading[:2])
    assert code == 3
    assert "--members" in err


def test_a_ledger_is_verified_and_says_what_it_could_not_check(ask, run, reading, folder, held):
    content = ask("verify", *reading)
    states = {row["check"]: row["state"] for row in content["findings"]}
    assert content["verdict"] == "verified"
    assert states.pop("terms") == "unchecked"
    assert set(states.values()) == {"verified"}
    code, out, _ = run("verify", folder / "ledger.sqlite", "--members", folder / "members.json")
    assert code == 0
    assert out.splitlines()[-1] == "ledger: verified (not checked: terms)"
    assert f"ok  rows            {len(held)}" in out
    assert run("verify", *reading[:2])[1].splitlines()[-1] == "ledger: verified (not checked: members, rules, terms)"


def test_a_damaged_ledger_is_false_and_names_the_row(ask, folder, tmp_path):
    copy = tmp_path / "ledger.sqlite"
    shutil.copyfile(folder / "ledger.sqlite", copy)
    with sqlite3.connect(copy) as db:
        db.execute("UPDATE transactions SET sequence = sequence + 1 WHERE arrival = 11")
    content = ask("verify", copy, code=1)
    assert content["verdict"] == "false"
    assert "row 11" in content["findings"][0]["problems"][0]


def test_bad_files_are_bad_input(run, reading, folder, tmp_path):
    nothing = tmp_path / "nothing"
    (tmp_path / "list.json").write_text("{}")
    for arguments in (
        ("show", "--file", nothing),
        ("show", "--home", tmp_path),
        ("verify", nothing, "--members", folder / "members.json"),
        ("show", *reading[:2], "--members", nothing),
        ("show", *reading[:2], "--members", tmp_path / "list.json"),
        ("prove", "--since", nothing, "--checkpoint", nothing, "-o", tmp_path / "x", *reading),
        ("import", nothing, "--home", tmp_path),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (3, ""), arguments
        assert err.startswith("error: ")
    for arguments in (
        ("show",),
        ("show", "--home", tmp_path, *reading[:2]),
        ("prove", "-o", nothing, *reading),
        ("export", *reading),
        ("cosign", *reading),
        ("export", nothing, "--url", "http://127.0.0.1:1"),
    ):
        assert run(*arguments)[0] == 2, arguments


# -- over HTTP -------------------------------------------------------------------------------------------------------


class Node:
    """What `/v1` of a node answers, from a snapshot; `lie` changes an answer. The real routes: tests/api/test_reading.py."""

    def __init__(self, held: Snapshot) -> None:
        self.held, self.lie = held, None
        self.ids = [cid_of(tx_id) for tx_id in held.tangle.ids()]

    def answer(self, path: str) -> bytes:
        path, _, query = path.partition("?")
        after = dict(pair.split("=") for pair in query.split("&") if pair).get("after")
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
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}"
    yield served
    server.shutdown()
    server.server_close()


def test_a_nodes_rest_is_read_and_not_believed(ask, run, node, held):
    content = ask("show", "--url", node.url)
    assert content["transactions"] == len(held)
    assert content["members"][0]["name"] == "Hospital 0"
    assert ask("verify", "--url", node.url)["verdict"] == "verified"
    last = held.get(list(held.tangle.ids())[-1]).raw
    for lie, said in (
        (lambda path, body: last if path.endswith("/raw") else body, "another transaction"),
        (lambda path, body: body + b"x" if path.endswith("/raw") else body, "another transaction"),
        (lambda path, body: b"[" * 200_000, "nested deeper"),
        (lambda path, body: b'{"a": ', "not JSON"),
        (lambda path, body: b"[]", "not a JSON object"),
        (lambda path, body: b"{}" if path.startswith("/v1/transactions?") else body, "not a page"),
        (
            lambda path, body: b'{"members": [{}], "consortium": ""}' if "members" in path else body,
            "not a list of members",
        ),
        (lambda path, body: b"x" * 70_000 if path.endswith("/raw") else body, "more than 65536 bytes"),
    ):
        node.lie = lie
        code, out, err = run("show", "--url", node.url)
        assert (code, out) == (5, ""), err
        assert said in err
    assert run("show", "--url", "http://127.0.0.1:1")[0] == 5


# -- on hospitals with a chain ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Homes of four hospitals after two rounds, and the endpoint of their chain: real contracts, ledgers and blobs."""
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


def test_a_real_ledger_is_verified_with_its_chain(ask, network):
    homes, url = network
    content = ask("verify", "--home", homes[0], "--rpc", url)
    assert {row["state"] for row in content["findings"]} == {"verified"}, content
    assert {row["check"] for row in content["findings"]} >= {"rows", "members", "contradictions", "rules", "terms"}


def test_names_come_from_the_homes_chain_where_it_answers(ask, run, network, tmp_path):
    homes, _ = network
    content = ask("show", "--home", homes[1])
    assert content["members_known"]
    assert len(content["members"]) == len(homes)
    lonely = tmp_path / "home"
    shutil.copytree(homes[1], lonely)
    config = (lonely / "node.toml").read_text().replace(Home(lonely).config().chain.rpc, "http://127.0.0.1:1")
    (lonely / "node.toml").write_text(config)
    code, out, err = run("show", "--home", lonely, "--json")
    assert (code, json.loads(out)["members_known"]) == (0, False)
    assert "does not answer" in err


def test_hospitals_witness_the_log_and_a_proof_reaches_it(ask, run, network, tmp_path):
    """Each member derives the log from its own ledger and the chain; the last one's file has a quorum."""
    homes, url = network
    members = tmp_path / "members.json"
    assert ask("members", "--home", homes[0], "-o", members)["quorum"] == 3
    assert run("members", "--home", homes[0])[1] == members.read_text()
    known = Witnesses.from_json(members.read_bytes())
    first, note = tmp_path / "first.note", tmp_path / "log.note"
    for rounds, out in ((1, first), (2, note)):
        added: list[object] = []
        for home in homes:
            content = ask("cosign", "--home", home, "--rounds", rounds, "-o", out, *added)
            assert (content["checkpoint"], content["rounds"]) == (out.read_text(), rounds)
            added = ["--add", out]
        assert len(Note.parse(out.read_bytes()).signatures) == len(homes)
    content = ask("verify", note, "--members", members)
    assert (content["size"], len(content["witnesses"])) == (2, len(homes))
    with Store(Home(homes[0]).ledger, read_only=True) as store:
        update = next(Snapshot.of_store(store, known).transactions(Kind.UPDATE, 1))
    proof = tmp_path / "tx.proof"
    assert ask("prove", cid_of(update.id), "-o", proof, "--home", homes[0], "--checkpoint", note)["log"] is True
    assert ask("verify", proof, "--members", members)["log"] == 2
    assert Home(homes[3]).checkpoint.is_file()
    assert ask("prove", cid_of(update.id), "-o", proof, "--home", homes[3])["log"] is True
    grown = tmp_path / "grown.proof"
    assert ask("prove", "--since", first, "--checkpoint", note, "-o", grown, "--home", homes[0])["log"] is True
    content = ask("verify", grown, "--members", members)
    assert (content["from"], content["to"]) == (1, 2)
    assert LogGrowth.parse(grown.read_bytes()).new == Note.parse(note.read_bytes())
    assert ask("verify", "--home", homes[0], "--rpc", url)["verdict"] == "verified"


def test_a_split_view_is_not_signed(run, network, tmp_path):
    homes, _ = network
    other = Note.parse(cosigned(run, homes[2], tmp_path).read_bytes())
    consortium = other.text.split("/")[1]
    forged = Note(log_head(bytes.fromhex(consortium), []).render().replace("\n0\n", "\n1\n"), other.signatures)
    (tmp_path / "forged.note").write_bytes(forged.render().encode())
    before = Home(homes[2]).checkpoint.read_bytes()
    code, out, err = run("cosign", "--home", homes[2], "--add", tmp_path / "forged.note")
    assert (code, out) == (1, "")
    assert "no prefix" in err
    assert Home(homes[2]).checkpoint.read_bytes() == before


def test_signatures_are_collected_from_the_members_nodes(ask, network, node, tmp_path):
    """One node serves its hospital's head, one answers nonsense, the others say nothing: the head grows by one line."""
    homes, url = network
    for home in homes[:3]:
        Home(home).checkpoint.unlink(missing_ok=True)
    ask("cosign", "--home", homes[1])
    served = Home(homes[1]).checkpoint.read_bytes()
    node.lie = lambda path, body: served if path == "/v1/checkpoint" else b"nonsense"
    register(homes[1], url, node.url)
    register(homes[2], url, f"{node.url}/elsewhere")
    content = ask("cosign", "--home", homes[0], "--collect", "-o", tmp_path / "log.note")
    assert (content["rounds"], content["signed_by"]) == (2, ["Hospital 0", "Hospital 1"])
    assert Note.parse((tmp_path / "log.note").read_bytes()) == Note.parse(Home(homes[0]).checkpoint.read_bytes())
    content = ask("cosign", "--home", homes[2], "--add", tmp_path / "log.note")
    assert content["signed_by"] == ["Hospital 0", "Hospital 1", "Hospital 2"]


def register(home, rpc: str, url: str) -> None:
    """What a hospital does whose node moved."""
    account = unlock_identity(Home(home), PASSWORD).account
    Chain(rpc, read_deployment(Home(home)), account).registry.set_url(url)


def cosigned(run, home, tmp_path):
    out = tmp_path / "own.note"
    code, _, err = run("cosign", "--home", home, "-o", out)
    assert code == 0, err
    return out


def test_a_ledger_is_carried_to_an_empty_hospital(ask, run, network, tmp_path):
    homes, _ = network
    archive, fresh = tmp_path / "ledger.car", tmp_path / "fresh"
    ask("export", archive, "--home", homes[0])
    shutil.copytree(homes[1], fresh)
    for path in fresh.glob("ledger.sqlite*"):
        path.unlink()
    first = ask("import", archive, "--home", fresh)
    assert first["refused"] == []
    assert first["attached"] == ask("show", "--home", homes[0])["transactions"] - 1  # every ledger has its genesis
    assert ask("import", archive, "--home", fresh)["attached"] == 0
    tips = [ask("tips", "--home", home)["transactions"] for home in (homes[0], fresh)]
    assert {row["id"] for row in tips[0]} == {row["id"] for row in tips[1]}
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    archive.write_bytes(damaged)
    assert ask("verify", archive, code=1)["findings"][0]["check"] == "blocks"
    code, _, err = run("import", archive, "--home", fresh)
    assert code == 1
    assert "block" in err


def test_old_ciphertexts_are_let_go_and_the_ledger_stays(ask, network, tmp_path):
    homes, url = network
    home = tmp_path / "home"
    shutil.copytree(homes[0], home)
    before = len(list(FileStore(Home(home).blobs).iterate()))
    content = ask("prune", "--home", home, "--keep", 1)
    left = len(list(FileStore(Home(home).blobs).iterate()))
    assert content["payloads"] > 0
    assert content["blobs"] > content["payloads"], "a manifest's chunks go with it"
    assert before - left == content["blobs"]
    assert ask("prune", "--home", home, "--keep", 1)["blobs"] == 0
    assert ask("verify", "--home", home, "--rpc", url)["verdict"] == "verified"


def test_nothing_is_written_beside_a_running_node(run, network, node, tmp_path):
    homes, _ = network
    home = tmp_path / "home"
    shutil.copytree(homes[0], home)
    port = node.url.rpartition(":")[2]
    config = Home(home).config()
    text = (home / "node.toml").read_text().replace(f"port = {config.hospital.port}", f"port = {port}")
    (home / "node.toml").write_text(text)
    code, _, err = run("prune", "--home", home, "--keep", 1)
    assert code == 4
    assert "stop the node first" in err
