"""`medweave audit` as a person types it: every command, its forms of answer and its exit codes."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser

import pytest
from click.testing import CliRunner

from dag.bodies import AcknowledgementBody
from dag.equivocation import EquivocationProof
from dag.transaction import Unsigned, sign
from node.audit.bundle.form import Bundle
from node.audit.bundle.rounds import facts_of, transactions_of
from node.cli.main import cli
from tests.audit.conftest import bundled, run, simulated  # noqa: F401  (fixtures)
from tests.audit.forge import member_key
from tests.audit.manipulations import BUNDLED
from tests.audit.zipped import rewrite


@pytest.fixture
def medweave(monkeypatch):
    """Runs `medweave audit …`: (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(cli, ["audit", *map(str, arguments)], standalone_mode=False)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            error = done.exception
            return getattr(error, "exit_code", 70), done.stdout, f"{done.stderr}{error}"
        return done.return_value or 0, done.stdout, done.stderr

    return call


@pytest.fixture(scope="module")
def trust(bundled, tmp_path_factory):  # noqa: F811
    """Options that name what an auditor trusts."""
    record = tmp_path_factory.mktemp("trust") / "consortium.json"
    record.write_text(bundled.trust.deployment.to_json())
    return ("--header", f"0x{bundled.trust.header.hex()}", "--contracts", record)


def test_model_from_places_and_from_a_bundle(medweave, run, bundled, trust):  # noqa: F811
    live = ("--rpc", run.chain._connection.url, "--blobs", run.root)
    code, out, _ = medweave("model", run.root / "model.bin", *live)
    assert (code, out.splitlines()[-1]) == (0, "audit: verified")
    code, again, _ = medweave("model", run.root / "model.bin", "--bundle", bundled.path, *trust)
    assert (code, again) == (0, out)


def test_the_old_form_still_works(medweave, run):  # noqa: F811
    live = ("--rpc", run.chain._connection.url, "--blobs", run.root)
    code, out, _ = medweave("--model", run.root / "model.bin", *live, "--json")
    assert code == 0
    assert json.loads(out)["verdict"] == "verified"
    code, out, _ = medweave("--run", run.root)
    assert (code, out.splitlines()[-1]) == (0, "audit: verified")


def test_options_before_a_command_are_refused(medweave, run):  # noqa: F811
    code, _, err = medweave("--run", run.root, "round", "1")
    assert code == 2
    assert "medweave audit round" in err


def test_one_round(medweave, bundled, trust):  # noqa: F811
    code, out, _ = medweave("round", "1", "--bundle", bundled.path, *trust, "--json", "--timings")
    content = json.loads(out)
    assert (code, content["rounds"]) == (0, [1])
    assert content["seconds"]["sums"] > 0
    code, out, _ = medweave("round", "9", "--bundle", bundled.path, *trust)
    assert (code, out.splitlines()[-1]) == (2, "audit: could-not-check (lineage: round 9 was not finalised)")


def test_lineage(medweave, bundled, trust):  # noqa: F811
    code, out, _ = medweave("lineage", "--bundle", bundled.path, *trust, "--json")
    assert code == 0
    assert [finding["link"] for finding in json.loads(out)["findings"]] == ["chain", "lineage", "leader", "model"]


def test_export_and_verify(medweave, run, tmp_path, trust):  # noqa: F811
    out = tmp_path / "model.bundle"
    live = ("--rpc", run.chain._connection.url, "--blobs", run.root)
    code, text, _ = medweave("export", out, *live, "--model", run.root / "model.bin", "--json")
    told = json.loads(text)
    assert (code, told["verdict"], told["bytes"]) == (0, "verified", out.stat().st_size)
    code, text, _ = medweave("verify", out, "--header", told["header"], *trust[2:])
    assert (code, text.splitlines()[-1]) == (0, "audit: verified")
    code, _, err = medweave("export", out, *live)
    assert code == 2
    assert "--force" in err
    assert medweave("export", out, *live, "--force")[0] == 0


def test_verify_without_trust_verifies_nothing(medweave, bundled, trust):  # noqa: F811
    code, out, _ = medweave("verify", bundled.path)
    assert code == 2
    assert "--header" in out
    assert medweave("verify", bundled.path, "--header", "0x" + "00" * 32, *trust[2:])[0] == 1
    assert medweave("verify", bundled.path, "--header", "12")[0] == 3


def test_a_changed_bundle_is_falsified(medweave, run, bundled, trust, tmp_path):  # noqa: F811
    case = next(case for case in BUNDLED if case.name == "locked_chunk-flip")
    path = rewrite(bundled.path, tmp_path / "b", lambda entries: case.act(entries, run))
    code, out, _ = medweave("verify", path, *trust)
    assert code == 1
    assert out.splitlines()[-1].startswith("audit: falsified (sums, round 2:")


def test_what_is_no_bundle_is_bad_input(medweave, tmp_path):
    (tmp_path / "b").write_text("nothing")
    for path in (tmp_path / "b", tmp_path / "none"):
        code, _, err = medweave("verify", path)
        assert code == 3
        assert str(path) in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("model",),
        ("model", "--rpc", "http://127.0.0.1:1"),
        ("model", "--bundle", "b", "--run", "."),
        ("model", "--rpc", "http://127.0.0.1:1", "--blobs", ".", "--header", "0x"),
        ("round",),
        ("verify",),
        ("export", "b"),
        (),
    ],
)
def test_wrong_command_lines_end_with_2(medweave, arguments):
    assert medweave(*arguments)[0] == 2


def test_progress_on_standard_error(medweave, bundled, trust):  # noqa: F811
    code, out, err = medweave("verify", bundled.path, *trust, "--progress", "--json")
    assert code == 0
    assert json.loads(out)["verdict"] == "verified"
    assert "round 2, adding: 90 %" in err


class _Page(HTMLParser):
    """What a page refers to, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.links += [value or "" for name, value in attributes if name in {"src", "href"}]
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_loads_nothing_and_escapes_everything(medweave, run, bundled, trust, tmp_path):  # noqa: F811
    case = next(case for case in BUNDLED if case.name == "locked_chunk-flip")
    evil = tmp_path / "<script>alert(1)"
    evil.mkdir()
    path = rewrite(bundled.path, evil / "b", lambda entries: case.act(entries, run))
    code, _, _ = medweave("verify", path, *trust, "--html", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert (code, page.open, page.links) == (1, [], [])
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "Falsified" in text
    assert 'lang="en"' in text
    code, _, err = medweave("verify", path, *trust, "--html", tmp_path / "none" / "report.html")
    assert code == 3
    assert "cannot be written" in err


# ---- consistency and equivocations ----------------------------------------------------------------------------------


def test_two_bundles_of_one_history(medweave, bundled, tmp_path):  # noqa: F811
    shutil.copyfile(bundled.path, tmp_path / "b")
    code, out, _ = medweave("consistency", bundled.path, tmp_path / "b", "--json")
    assert (code, json.loads(out)["older"]["rounds"]) == (0, 2)


def test_a_source_that_is_none_is_refused(medweave, bundled, tmp_path):  # noqa: F811
    assert medweave("consistency", bundled.path, tmp_path / "none")[0] == 3
    assert medweave("equivocations", tmp_path / "none")[0] == 3


def test_nobody_contradicted_itself(medweave, bundled):  # noqa: F811
    code, out, _ = medweave("equivocations", bundled.path, "--json")
    assert (code, json.loads(out)["equivocations"]) == (0, [])


def test_a_contradiction_is_found_named_and_written(medweave, bundled, tmp_path):  # noqa: F811
    with Bundle(bundled.path) as bundle:
        honest = next(
            tx for tx in transactions_of(bundle, facts_of(bundle)) if isinstance(tx.body, AcknowledgementBody)
        )
    key = next(member_key(k) for k in range(4) if sign(_same(honest), member_key(k)).issuer == honest.issuer)
    other = sign(_same(honest), key)
    proof = EquivocationProof.of(honest, other)
    (tmp_path / "proof").write_bytes(proof.encode())
    code, out, _ = medweave("equivocations", tmp_path / "proof", bundled.path, "--out", tmp_path / "proofs")
    assert code == 1
    assert "sequence" in out
    assert "Hospital" in out
    written = list((tmp_path / "proofs").iterdir())
    assert [EquivocationProof.decode(path.read_bytes()) for path in written] == [proof]
    (tmp_path / "proof").write_bytes(proof.encode()[:-1])
    assert medweave("equivocations", tmp_path / "proof")[0] == 3


def _same(tx) -> Unsigned:
    """The same place in the ledger, another word."""
    body = AcknowledgementBody(reveal=b"\x01" * 32)
    return Unsigned(
        kind=tx.kind,
        consortium=tx.consortium,
        epoch=tx.epoch,
        round=tx.round,
        sequence=tx.sequence,
        parents=tx.parents,
        payload=None,
        body=body,
    )
