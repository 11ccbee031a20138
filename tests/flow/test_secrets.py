"""A running network holds its secrets where they belong: each hospital its own, sealed; nothing in logs, blobs, chain.

This test runs a consortium through the demo's own building blocks, because it needs the passwords the demo forgets.
"""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from node.demo.data import prepare
from node.demo.network import network
from node.demo.options import DemoOptions
from node.demo.processes import HospitalProcess
from node.demo.watch import Watcher
from node.epochs.vault import Vault
from node.home import Home, unlock_identity
from node.storage import MemoryStore

SHORTEST = 16
"""Bytes of a secret that are looked for: a window this long does not occur by chance."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, tuple[HospitalProcess, ...]]:
    """Run directory and hospitals (with passwords) of a network that finished one round and was stopped."""
    out = tmp_path_factory.mktemp("secrets") / "run"
    options = DemoOptions(out=out, rounds=1, samples=96, architecture="cnn", image_size=32, epochs=1)
    data = prepare(options)
    with network(options, data, lambda _line: None) as (hospitals, _deployment, _anvil):
        Watcher(hospitals, Console(quiet=True), 1, 180).wait()
        for hospital in hospitals:
            check_rest(hospital)
    return out, hospitals


def check_rest(hospital: HospitalProcess) -> None:
    """A person with curl and a token can follow a round; nothing here needs a key."""
    assert httpx.get(f"{hospital.url}/v1/status", trust_env=False).status_code == 401
    with httpx.Client(base_url=hospital.url, headers=hospital.headers, trust_env=False, timeout=10) as curl:
        assert curl.get("/v1/health").json()["status"] == "ok"
        assert len(curl.get("/v1/members").json()["members"]) == 4
        kinds = {t["kind"] for t in curl.get("/v1/transactions?limit=500").json()["transactions"]}
        assert {"genesis", "update", "acknowledgement", "proposal", "share", "verdict", "checkpoint"} <= kinds
        model = curl.get("/v1/models").json()["models"][-1]
        lineage = curl.get(f"/v1/models/{model['model']}/provenance").json()["lineage"]
        statement = lineage[0]["statement_text"]["predicate"]
        assert len(statement["updates"]) == 4
        assert lineage[-1]["parent"] is None
        update = curl.get(f"/v1/transactions/{statement['updates'][0]['id']}").json()
        assert update["confirmed"] is True
        assert len(curl.get(f"/v1/blobs/{update['payload']}").content) > 0
        assert curl.get("/v1/rounds/1").json()["here"]["training"]["samples"] > 0
        assert "/v1/transactions/{cid}" in curl.get("/openapi.json").json()["paths"]


def secrets_of(hospital: HospitalProcess) -> dict[str, bytes]:
    """Every secret of a hospital, by what it is."""
    home = Home(hospital.home)
    identity = unlock_identity(home, hospital.password)
    keys = Vault(home, hospital.password, MemoryStore(), allow_minimal=False).keys(1)
    assert keys is not None
    return {
        "password": hospital.password.encode(),
        "account key": identity.private_key,
        "box key": identity.box.private,
        "key share": keys.member.sigma.tobytes()[:64],
        "end of key share": keys.member.sigma.tobytes()[-64:],
        "content key": keys.member.content.key,
        "smudging key": keys.member.smudge,
        **{f"pair key {i}": pair for i, pair in enumerate(keys.member.pairs) if any(pair)},
    }


def written(secret: bytes) -> set[bytes]:
    """The forms in which a careless programmer might have written a secret."""
    forms = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for shift in range(3):
        forms.add(base64.b64encode(bytes(shift) + secret)[4 * bool(shift) : -4])
    return {form for form in forms if len(form) >= SHORTEST}


def test_no_file_holds_a_secret_in_the_clear(finished):
    out, hospitals = finished
    files = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    assert len(files) > 100
    for hospital in hospitals:
        for name, secret in secrets_of(hospital).items():
            for form in written(secret):
                leaks = [str(path) for path, content in files.items() if form in content]
                assert not leaks, f"{name} of {hospital.name} lies open in {leaks}"


def test_each_directory_holds_only_its_own_sealed_secrets(finished):
    _out, hospitals = finished
    for hospital in hospitals:
        names = {path.name for path in (hospital.home / "secrets").iterdir()}
        assert names == {"account.json", "box.sealed", "epoch-1.member.sealed"}, "the dealer's seed is gone by now"
        for other in hospitals:
            if other is not hospital:
                with pytest.raises(Exception, match="password"):
                    unlock_identity(Home(hospital.home), other.password)


def test_secret_files_are_for_their_owner_only(finished):
    _out, hospitals = finished
    for hospital in hospitals:
        for path in (hospital.home / "secrets").iterdir():
            assert path.stat().st_mode & 0o077 == 0


def test_no_two_hospitals_share_a_secret_but_the_content_key(finished):
    _out, hospitals = finished
    tables = [secrets_of(hospital) for hospital in hospitals]
    assert len({table["content key"] for table in tables}) == 1
    for name in ("account key", "box key", "key share", "smudging key"):
        assert len({table[name] for table in tables}) == len(tables)
