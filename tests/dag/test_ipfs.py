"""A ledger's transactions in an IPFS node: the node computes the same CIDs, and walks from a tip to genesis by itself.

Skipped where no IPFS node can be started (`tests.ipfs_node`).
"""

from __future__ import annotations

import base64

import httpx
import pytest

from dag.ids import cid_of
from dag.ledger import Ledger
from dag.transaction import Transaction
from tests.dag.played import play
from tests.dag.support import ledger
from tests.ipfs_node import SECONDS, running


@pytest.fixture(scope="module")
def ipfs(tmp_path_factory):
    """The RPC of a js-ipfs daemon of its own, offline, with an empty repository."""
    with (
        running(tmp_path_factory.mktemp("ipfs") / "repo") as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v0", timeout=SECONDS, trust_env=False) as rpc,
    ):
        yield rpc


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
