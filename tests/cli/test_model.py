"""`medweave model` as a person types it: every command, its forms of answer and its exit codes."""

from __future__ import annotations

import json
import shutil

import pytest

from chain.deployment import Deployment
from node.cli.main import main
from node.config import ChainSection, Hospital, NodeConfig
from node.home import Home
from node.provenance.envelopes import FACT, noted
from node.rounds.dsse import Envelope, verify_envelope
from node.rounds.journal import Journal
from node.storage import FileStore, raw_cid
from tests.audit.conftest import run, simulated  # noqa: F401  (fixtures)


@pytest.fixture
def medweave(capfdbinary):
    """Runs `medweave model …`: (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, bytes, str]:
        with pytest.raises(SystemExit) as ended:
            main(["model", *map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return ended.value.code, out, err.decode()

    return call


@pytest.fixture
def places(run):  # noqa: F811
    return ("--rpc", run.chain._connection.url, "--blobs", run.root)


@pytest.fixture
def head(run):  # noqa: F811
    return run.facts.view.head.hex()


def test_a_runs_lineage_is_listed(medweave, run, places, head):  # noqa: F811
    code, out, _ = medweave("list", "--json", *places)
    rows = json.loads(out)["models"]
    assert code == 0
    assert [row["round"] for row in rows] == [0, 1, 2]
    assert rows[-1]["model"] == head
    assert [row["parent"] for row in rows[1:]] == [row["model"] for row in rows[:-1]]
    assert all(row["statement_here"] and row["envelope_here"] for row in rows[1:])
    assert all(row["signers"] >= 3 for row in rows[1:])
    code, out, _ = medweave("list", "--run", run.root)
    assert code == 0
    assert head in out.decode().splitlines()[-1]


def test_a_model_is_shown_by_hash_file_and_default(medweave, run, places, head):  # noqa: F811
    answers = {medweave("show", *name, *places)[1] for name in ((), (head,), (run.root / "model.bin",))}
    (out,) = answers
    assert f"model {head}, made in round 2, 2 finalised rounds" in out.decode()
    assert "no diagnosis" in out.decode()
    told = json.loads(medweave("show", "--json", *places)[1])
    assert [one["number"] for one in told["rounds"]] == [1, 2]
    assert told["rounds"][0]["before"]["members"] >= 3


def test_a_hospitals_directory_is_enough(medweave, run, tmp_path, head):  # noqa: F811
    home = Home(tmp_path / "home")
    home.root.mkdir()
    chain = ChainSection(rpc=run.chain._connection.url)
    NodeConfig(hospital=Hospital(name="A", port=1, url="http://127.0.0.1:1"), chain=chain).write(home.config_file)
    shutil.copy(run.root / "consortium.json", home.root)
    one = run.root / "hospitals" / "hospital-0"
    shutil.copytree(one / "blobs", home.blobs / "blobs")
    shutil.copy(one / "journal.sqlite", home.journal)
    code, out, _ = medweave("show", "--home", home.root)
    assert code == 0
    assert head in out.decode()
    assert "envelope signed by" in out.decode()


def test_the_statement_is_given_byte_for_byte(medweave, run, places, head):  # noqa: F811
    digest = run.facts.finalised[2].row.statement
    code, out, err = medweave("statement", head, *places)
    assert code == 0
    assert out == run.read(raw_cid(digest))
    assert digest.hex() in err


def test_the_envelope_convinces_whoever_knows_the_members(medweave, run, places, tmp_path):  # noqa: F811
    file = tmp_path / "round-2.json"
    code, out, _ = medweave("statement", "--envelope", "--out", file, "--json", *places)
    found = json.loads(out)
    assert code == 0
    members = [bytes.fromhex(h.account[2:]) for h in run.facts.view.hospitals]
    verify_envelope(file.read_bytes(), members, found["quorum"])
    assert [s.signer.hex() for s in Envelope.from_bytes(file.read_bytes()).signatures] == [
        s[2:] for s in found["signers"]
    ]
    assert medweave("statement", "--json", *places)[0] == 2, "the bytes and what is said of them do not mix"


@pytest.mark.parametrize(
    ("form", "start"),
    [("md", b"# Model card: "), ("html", b"<!doctype html>"), ("json", b"{\n")],
    ids=["md", "html", "json"],
)
def test_a_card_in_every_form(medweave, places, tmp_path, head, form, start):
    code, out, _ = medweave("card", "--format", form, *places)
    assert code == 0
    assert out.startswith(start)
    assert head.encode() in out
    file = tmp_path / "card"
    assert medweave("card", head, "--format", form, "--out", file, *places)[0] == 0
    assert file.read_bytes() == out
    assert [p.name for p in tmp_path.iterdir()] == ["card"]


def test_json_is_a_form_too(medweave, places):
    assert medweave("card", "--json", *places)[1] == medweave("card", "--format", "json", *places)[1]


def test_a_model_that_is_not_on_chain_is_bad_input(medweave, places):
    for name in ("show", "card", "statement"):
        code, _, err = medweave(name, "ab" * 32, *places)
        assert code == 3
        assert "is not in the lineage" in err
    assert medweave("show", "nothing", *places)[0] == 3


def test_the_initial_model_has_a_card_and_no_statement(medweave, run, places):  # noqa: F811
    first = next(iter(run.facts.view.models)).hex()
    assert medweave("card", first, *places)[0] == 0
    code, _, err = medweave("statement", first, *places)
    assert code == 3
    assert "initial one" in err


def test_a_false_envelope_is_exit_code_1(medweave, run, tmp_path):  # noqa: F811
    copy = run.copy(tmp_path / "run")
    for home in sorted((copy.root / "hospitals").iterdir()):
        journal = home / "journal.sqlite"
        cid = noted(journal, 1)
        journal.unlink()
        book = Journal(journal)
        book.remember(2, FACT, {"cid": cid})  # round 1's: every signature is right, the statement is another
        book.close()
    places = ("--rpc", run.chain._connection.url, "--blobs", copy.root)
    code, _, err = medweave("statement", "--envelope", *places)
    assert code == 1
    assert "another statement than the chain names" in err


def test_what_is_not_at_hand_is_exit_code_2(medweave, run, tmp_path):  # noqa: F811
    FileStore(tmp_path / "home").put(b"some other blob")
    (tmp_path / "consortium.json").write_text((run.root / "consortium.json").read_text())
    places = ("--rpc", run.chain._connection.url, "--blobs", tmp_path / "home")
    for name in ("show", "card", "statement"):
        code, _, err = medweave(name, *places)
        assert code == 2
        assert "in none of the places named" in err
    rows = json.loads(medweave("list", "--json", *places)[1])["models"]
    assert not any(row["statement_here"] for row in rows)


def test_an_endpoint_out_of_reach_is_exit_code_5(medweave, run):  # noqa: F811
    record = Deployment.from_json((run.root / "consortium.json").read_text())
    assert record.rounds
    assert medweave("list", "--rpc", "http://127.0.0.1:9", "--blobs", run.root)[0] == 5


def test_places_are_needed(medweave):
    assert medweave("list")[0] == 2
