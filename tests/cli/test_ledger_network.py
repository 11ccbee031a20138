"""`medweave ledger` on four hospitals with a chain: real contracts, ledgers and blobs."""

from __future__ import annotations

import json
import shutil

from chain.client import Chain
from chain.connection import Connection
from chain.votes import Removal
from dag.bodies import Kind
from dag.ids import cid_of
from dag.proofs.checkpoint import log_head
from dag.proofs.notes import Note
from dag.proofs.proof import LogGrowth
from dag.proofs.witnesses import Witnesses
from dag.store.snapshot import Snapshot
from dag.store.sqlite import Store
from node.home import Home, read_deployment, unlock_identity
from node.storage import FileStore

PASSWORD = "correct horse"


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
    assert ask("verify", note, "--home", homes[1]) == ask("verify", note, "--members", members)
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
    """One node serves its hospital's head, one a head of another history, one nonsense: the head grows by one line."""
    homes, url = network
    for home in homes[:3]:
        Home(home).checkpoint.unlink(missing_ok=True)
    ask("cosign", "--home", homes[1])
    served = Home(homes[1]).checkpoint.read_bytes()
    note = Note.parse(served)
    forged = log_head(bytes.fromhex(note.text.split("/")[1]), []).render().replace("\n0\n", "\n1\n")
    answers = {"/v1/checkpoint": served, "/forged/v1/checkpoint": Note(forged, note.signatures).render().encode()}
    node.lie = lambda path, body: answers.get(path, b"nonsense")
    for home, place in zip(homes[1:], ("", "/forged", "/nonsense"), strict=True):
        register(home, url, node.url + place)
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


def test_a_removed_hospital_convinces_no_longer_but_its_history_stays(ask, network, tmp_path):
    homes, url = network
    identities = [unlock_identity(Home(home), PASSWORD) for home in homes]
    chains = [Chain(url, read_deployment(Home(homes[0])), identity.account) for identity in identities]
    connection = Connection(url)
    mark = connection.request("evm_snapshot")
    try:
        registry = chains[0].registry
        vote = Removal(account=identities[3].account.address, decision=registry.decisions(), deadline=2**40)
        registry.remove(vote, {k: chains[k].registry.sign_vote(vote) for k in range(3)})
        content = ask("members", "--home", homes[0], "-o", tmp_path / "members.json")
        assert (content["members"], content["quorum"]) == (3, 2)
        known = Witnesses.from_json((tmp_path / "members.json").read_bytes())
        assert identities[3].address not in known.by_address
        assert [member.index for member in known.members] == [0, 1, 2]
        assert ask("verify", "--home", homes[0], "--rpc", url)["verdict"] == "verified"
    finally:
        connection.request("evm_revert", mark)
