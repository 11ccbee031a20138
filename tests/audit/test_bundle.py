"""One file in place of endpoint and directories: the same findings, and nothing read that is not in it."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.audit import Scope, audit, open_evidence
from node.audit.bundle.export import export
from node.audit.bundle.form import BLOBS, BLOCKS, ENVELOPES, MANIFEST, MODEL, Bundle, Manifest, canonical
from node.audit.bundle.verify import Trust, audit_bundle
from node.audit.errors import BadBundle, MalformedBlock
from tests.audit.zipped import rewrite

if TYPE_CHECKING:
    from pathlib import Path


def judge(path: Path, trust: Trust, **options):
    with Bundle(path) as bundle:
        return audit_bundle(bundle, trust, **options)


def test_a_bundle_is_verified_without_network(bundled, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", _no_network)
    report = judge(bundled.path, bundled.trust)
    assert report.verdict == "verified", report.to_text()
    assert report.rounds == (1, 2)
    assert {"chain", "sums", "model"} <= {finding.link for finding in report.findings}


def _no_network(*_):
    raise AssertionError("an audit of a bundle opened a connection")


def test_a_bundle_and_the_network_give_the_same_findings(bundled, run):
    live = audit(run.chain, open_evidence([run.root]), None, model_file=run.model_file)
    assert judge(bundled.path, bundled.trust).findings == live.findings


def test_without_trust_nothing_is_verified(bundled):
    for trust, subjects in (
        (Trust(), {"block 36", MANIFEST}),
        (Trust(bundled.trust.header), {MANIFEST}),
        (Trust(None, bundled.trust.deployment), {"block 36"}),
    ):
        report = judge(bundled.path, trust)
        assert report.exit_code == 2
        assert {f.subject for f in report.findings if f.status == "unchecked"} == subjects


def test_another_head_or_deployment_is_falsified(bundled):
    other = replace(bundled.trust.deployment, consortium=bytes(32))
    for trust in (Trust(bytes(32), bundled.trust.deployment), Trust(bundled.trust.header, other)):
        report = judge(bundled.path, trust)
        assert (report.exit_code, report.first_broken.link) == (1, "chain")


def test_one_round_or_the_lineage_alone(bundled):
    report = judge(bundled.path, bundled.trust, scope=Scope(only=1))
    assert (report.verdict, report.rounds) == ("verified", (1,))
    report = judge(bundled.path, bundled.trust, scope=Scope(rounds=False))
    assert report.rounds == ()
    assert {f.link for f in report.findings} == {"chain", "lineage", "leader", "model"}
    report = judge(bundled.path, bundled.trust, scope=Scope(only=7))
    assert (report.exit_code, report.first_broken.detail) == (2, "round 7 was not finalised")


def test_any_zip_tool_reads_it(bundled):
    with zipfile.ZipFile(bundled.path) as archive:
        names = archive.namelist()
        assert names[:2] == [MANIFEST, BLOCKS]
        assert names[-1] == MODEL
        assert all(name.startswith((BLOBS, ENVELOPES)) for name in names[2:-1])
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.read(MANIFEST))["head"]["hash"] == f"0x{bundled.trust.header.hex()}"


def test_what_follows_from_the_rest_or_is_sealed_is_left_out(bundled, run):
    from node.rounds.records import SumManifest

    sums = SumManifest.from_bytes(run.read(run.predicate(2).groups[0].sum))
    with Bundle(bundled.path) as bundle:
        assert bundle.look(run.predicate(2).groups[0].sum).data
        assert bundle.look(sums.chunks[0]).data is None
        assert bundle.look(run.predicate(2).model.sealed).data is None


def test_the_same_history_gives_the_same_bytes(bundled, run, tmp_path):
    export(run.chain, open_evidence([run.root]), None, tmp_path / "again", model_file=run.model_file)
    assert (tmp_path / "again").read_bytes() == bundled.path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda entries: entries.update({"blobs/../../etc/passwd": b""}), "belongs into no bundle"),
        (lambda entries: entries.update({"notes.txt": b"hello"}), "belongs into no bundle"),
    ],
)
def test_files_that_are_no_bundle_are_refused(bundled, tmp_path, change, reason):
    with pytest.raises(BadBundle, match=reason) as error:
        Bundle(rewrite(bundled.path, tmp_path / "b", change))
    assert error.value.exit_code == 3


def test_compressed_and_doubled_entries_are_refused(bundled, tmp_path):
    with zipfile.ZipFile(tmp_path / "deflated", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b"x" * 100)
    with pytest.raises(BadBundle, match="not stored"):
        Bundle(tmp_path / "deflated")
    with zipfile.ZipFile(tmp_path / "doubled", "w") as archive:
        archive.writestr(MANIFEST, b"x")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(MANIFEST, b"y")
    with pytest.raises(BadBundle, match="twice"):
        Bundle(tmp_path / "doubled")


def test_what_is_no_zip_is_refused(tmp_path):
    (tmp_path / "text").write_text("no archive")
    for path in (tmp_path / "text", tmp_path / "none", tmp_path):
        with pytest.raises(BadBundle):
            Bundle(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "medweave-bundle/2"),
        ("deployment", {}),
        ("head", {"number": -1, "hash": "0x" + "0" * 64}),
        ("head", {"number": 36, "hash": "0x"}),
        ("head", 5),
        ("model", "xyz"),
        ("software", 1),
    ],
)
def test_a_manifest_is_read_strictly(bundled, field, value):
    with Bundle(bundled.path) as bundle:
        content = json.loads(bundle.manifest().to_bytes())
    with pytest.raises(MalformedBlock, match=field):
        Manifest.from_bytes(canonical(content | {field: value}))


def test_a_file_that_cannot_be_written_is_said(run, tmp_path):
    with pytest.raises(BadBundle, match="cannot be written"):
        export(run.chain, open_evidence([run.root]), None, tmp_path / "none" / "b")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_archive_ends_in_a_report_or_a_typed_error(bundled, tmp_path, data):
    """Bytes of the directory, of entries' headers and of the manifests; and a file that breaks off."""
    raw = bytearray(bundled.path.read_bytes())
    directory = raw.rindex(b"PK\x01\x02") - 8_000
    at = data.draw(st.one_of(st.integers(0, 4_000), st.integers(directory, len(raw) - 1)))
    raw[at] = data.draw(st.integers(0, 255).filter(lambda value: value != raw[at]))
    cut = data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    path = tmp_path / "damaged"
    path.write_bytes(raw[:cut])
    with suppress(BadBundle):
        assert judge(path, bundled.trust).exit_code in {0, 1, 2}
