"""`medweave ledger` as a person uses it: on a ledger file and on a node's REST."""

from __future__ import annotations

import shutil
import sqlite3
import xml.etree.ElementTree as ET

import networkx as nx

from dag.bodies import Kind
from dag.ids import cid_of
from dag.proofs.proof import TransactionProof
from tests.dag.played import witnesses

MEMBERS = 4


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
        (lambda path, body: b"x" * 70_000 if path.endswith("/raw") else body, "longer than 65536 bytes"),
    ):
        node.lie = lie
        code, out, err = run("show", "--url", node.url)
        assert (code, out) == (5, ""), err
        assert said in err
    assert run("show", "--url", "http://127.0.0.1:1")[0] == 5


def test_an_answer_that_drips_is_given_up(run, node, monkeypatch):
    monkeypatch.setattr("node.client.transport.TOTAL_SECONDS", 0.3)
    node.drip = 0.05
    code, _, err = run("show", "--url", node.url)
    assert code == 5
    assert "has not ended within 0.3 s" in err
