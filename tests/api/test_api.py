"""REST: enough for a person with curl to follow a round; hostile requests get a problem document and nothing else."""

from __future__ import annotations

import hashlib
import json
import urllib.parse
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dag.bodies import Kind
from dag.ids import cid_of
from dag.sync import MAX_MESSAGE_BYTES
from dag.transaction import Transaction
from node.api.app import create_app
from node.consortium.view import ConsortiumView
from node.storage import blob_cid, raw_cid
from tests.api.access.support import bearer

ROUTES = {
    ("GET", "/metrics"),
    ("GET", "/v1/health"),
    ("GET", "/v1/ready"),
    ("GET", "/v1/status"),
    ("GET", "/v1/storage"),
    ("GET", "/v1/events"),
    ("GET", "/v1/members"),
    ("GET", "/v1/members/{index}"),
    ("GET", "/v1/motions"),
    ("GET", "/v1/epochs"),
    ("GET", "/v1/epochs/{number}"),
    ("GET", "/v1/transactions"),
    ("GET", "/v1/transactions/tips"),
    ("GET", "/v1/transactions/{cid}"),
    ("GET", "/v1/transactions/{cid}/raw"),
    ("GET", "/v1/transactions/{cid}/cone"),
    ("GET", "/v1/transactions/{cid}/proof"),
    ("GET", "/v1/checkpoint"),
    ("GET", "/v1/log"),
    ("GET", "/v1/log/consistency"),
    ("GET", "/v1/verdicts"),
    ("GET", "/v1/models/{model}/statement"),
    ("GET", "/v1/models/{model}/envelope"),
    ("GET", "/v1/models/{model}/file"),
    ("GET", "/v1/rounds"),
    ("GET", "/v1/rounds/{number}"),
    ("GET", "/v1/rounds/{number}/envelope"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("GET", "/v1/models/{model}/card"),
    ("GET", "/v1/models/{model}/provenance"),
    ("GET", "/v1/models/{model}/sealed/{epoch}"),
    ("GET", "/v1/models/{model}/passed/{seat}"),
    ("GET", "/v1/training"),
    ("GET", "/v1/blobs/{cid}"),
    ("HEAD", "/v1/blobs/{cid}"),
    ("POST", "/v1/gossip"),
    ("POST", "/v1/motions"),
}


def is_problem(answer, status: int) -> bool:
    """RFC 9457: media type, and the four members, the status the same as the answer's."""
    body = answer.json()
    return (
        answer.status_code == status == body["status"]
        and answer.headers["content-type"] == "application/problem+json"
        and set(body) == {"type", "title", "status", "detail"}
        and bool(body["detail"])
    )


def test_every_route_is_listed_and_says_what_it_does(client):
    paths = client.get("/openapi.json").json()["paths"]
    listed = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert listed >= ROUTES
    assert all(operation["summary"] for methods in paths.values() for operation in methods.values())


# ---- a round, followed with curl --------------------------------------------------------------------------------------


def test_health_and_status(client, net):
    assert client.get("/v1/health").json()["status"] == "ok"
    status = client.get("/v1/status").json()
    assert status["hospital"]["name"] == "Hospital 0"
    assert status["round"]["phase"] == "done"
    assert status["finalised"] == 1
    assert status["model"] == net.chain.head.hex()
    assert status["epoch"] == {"active": 1, "doing": ""}
    assert status["transactions"] == len(client.get("/v1/transactions?limit=500").json()["transactions"])


def test_a_node_that_has_just_started_answers_everything(service):
    """No round, no model, no conductor yet."""
    bare = SimpleNamespace(**vars(service))
    bare.conductor, bare.view = None, ConsortiumView.of(service.view.hospitals)
    with TestClient(create_app(bare), headers=bearer(bare.access)) as fresh:
        for path in ("health", "status", "members", "epochs", "rounds", "models", "training", "transactions/tips"):
            assert fresh.get(f"/v1/{path}").status_code == 200
        assert fresh.get("/v1/status").json()["round"] is None


def test_members_and_epochs(client, net):
    found = client.get("/v1/members").json()
    assert found["quorum"] == 3
    assert [m["account"] for m in found["members"]] == [account.address for account in net.accounts]
    assert [m["index"] for m in found["members"]] == [0, 1, 2, 3]
    epochs = client.get("/v1/epochs").json()
    assert epochs["active"] == 1
    assert client.get("/v1/epochs/1").json() == epochs["epochs"][0]
    assert epochs["epochs"][0]["state"] == "active"
    assert epochs["epochs"][0]["committed"] == 1


def test_transactions_by_kind_and_round(client):
    rows = client.get("/v1/transactions?limit=500").json()["transactions"]
    for kind in Kind:
        found = client.get(f"/v1/transactions?kind={kind}&limit=500").json()["transactions"]
        assert found == [row for row in rows if row["kind"] == kind]
    assert len(client.get("/v1/transactions?kind=update").json()["transactions"]) == 4
    in_round = client.get("/v1/transactions?round=1&limit=500").json()["transactions"]
    assert {row["round"] for row in in_round} == {1}
    assert client.get("/v1/transactions?round=77").json() == {"transactions": [], "next": None}


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_put_together_are_the_whole_list(client, limit):
    whole = client.get("/v1/transactions?limit=500").json()["transactions"]
    found, after = [], ""
    while after is not None:
        page = client.get("/v1/transactions", params={"limit": limit} | ({"cursor": after} if after else {})).json()
        assert len(page["transactions"]) <= limit
        found += page["transactions"]
        after = page["next"]
    assert found == whole


def test_one_transaction_by_cid_and_by_hex(client, net):
    row = client.get("/v1/transactions?kind=update").json()["transactions"][0]
    assert client.get(f"/v1/transactions/{row['id']}").json() == row
    assert client.get(f"/v1/transactions/{row['hex']}").json() == row
    raw = client.get(f"/v1/transactions/{row['id']}/raw")
    assert raw.headers["content-type"] == "application/vnd.ipld.dag-cbor"
    transaction = Transaction.decode(raw.content)
    assert cid_of(transaction.id) == row["id"]
    assert row["issuer"].lower() == "0x" + transaction.issuer.hex()
    assert row["hospital"] == f"Hospital {net.addresses.index(transaction.issuer)}"
    assert row["confirmed"] is True
    assert row["body"]["weight_ppm"] == transaction.body.weight_ppm
    assert client.get(f"/v1/blobs/{row['payload']}").status_code == 200


def test_the_genesis_transaction_has_no_issuer(client):
    (row,) = client.get("/v1/transactions?kind=genesis").json()["transactions"]
    assert (row["issuer"], row["hospital"], row["parents"]) == (None, None, [])


def test_tips_are_transactions_without_children(client):
    rows = client.get("/v1/transactions?limit=500").json()["transactions"]
    parents = {parent for row in rows for parent in row["parents"]}
    assert set(client.get("/v1/transactions/tips").json()["tips"]) == {row["id"] for row in rows} - parents


def test_a_round_and_how_it_went_here(client, net):
    (row,) = client.get("/v1/rounds").json()["rounds"]
    one = client.get("/v1/rounds/1").json()
    assert {key: one[key] for key in row} == row
    assert row["status"] == "finalised"
    assert len(row["signers"]) >= 3
    assert one["plan_text"]["classes"] == list(net.plan.classes)
    assert hashlib.sha256(net.plan.to_bytes()).hexdigest() == row["plan"]
    assert set(one["here"]["marks"]) >= {"begin", "plan", "train", "finalise"}
    assert client.get(f"/v1/transactions/{row['proposals'][0]['proposal']}").json()["kind"] == "proposal"
    assert client.get("/v1/training").json()["rounds"]["1"]["training"]["samples"] > 0


def test_where_a_model_came_from(client, net):
    genesis, newest = client.get("/v1/models").json()["models"]
    assert genesis["parent"] is None
    assert genesis["statement"] is None
    assert newest["model"] == net.chain.head.hex()
    assert client.get(f"/v1/models/{newest['model']}").json() == newest | {"children": []}
    lineage = client.get(f"/v1/models/0x{newest['model']}/provenance").json()["lineage"]
    assert [step["model"] for step in lineage] == [newest["model"], genesis["model"]]
    assert lineage[0]["statement_text"]["predicate"]["model"]["sha256"] == newest["model"]
    assert lineage[1]["statement_text"] is None
    statement = client.get(f"/v1/blobs/{raw_cid(bytes.fromhex(newest['statement']))}")
    assert hashlib.sha256(statement.content).hexdigest() == newest["statement"]
    assert json.loads(statement.content) == lineage[0]["statement_text"]


def test_a_round_whose_plan_is_not_here_is_shown_all_the_same(service, client):
    cid = raw_cid(service.view.rounds[1].plan)
    data = service.store.get(cid)
    service.store.delete(cid)
    try:
        assert client.get("/v1/rounds/1").json()["plan_text"] is None
    finally:
        service.store.put(data)


def test_blobs_are_their_cid(client, service):
    data = bytes(range(256)) * 3000
    cid = service.store.put(data)
    answer = client.get(f"/v1/blobs/{cid}")
    assert answer.content == data
    assert answer.headers["etag"] == f'"{cid}"'
    assert "immutable" in answer.headers["cache-control"]
    head = client.head(f"/v1/blobs/{cid}")
    assert head.headers["content-length"] == str(len(data))
    assert head.content == b""


def test_a_damaged_blob_is_not_given_out(client, service):
    cid = service.store.put(b"good bytes")
    service.store._place(cid).write_bytes(b"evil bytes")
    answer = client.get(f"/v1/blobs/{cid}")
    assert is_problem(answer, 503)
    assert "evil" not in answer.text
    assert str(service.home.root) not in answer.text, "where it lies is nobody's business"


# ---- hostile requests --------------------------------------------------------------------------------------------------


UNKNOWN = blob_cid(b"unknown")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/blobs/nonsense", 400),
        ("/v1/blobs/..", 404),
        ("/v1/blobs/%2e%2e", 400),
        ("/v1/blobs/..%5c..%5csecrets", 400),
        ("/v1/blobs/%00", 400),
        (f"/v1/blobs/{UNKNOWN.upper()}", 400),
        (f"/v1/blobs/{UNKNOWN}x", 400),
        (f"/v1/blobs/{UNKNOWN}%0a", 400),
        (f"/v1/blobs/{UNKNOWN}", 404),
        ("/v1/transactions/nonsense", 400),
        (f"/v1/transactions/{UNKNOWN}", 400),
        ("/v1/transactions/" + "zz" * 32, 400),
        ("/v1/transactions/" + "%20" * 64, 400),
        ("/v1/transactions/" + "00" * 32, 404),
        ("/v1/transactions/" + "00" * 32 + "/raw", 404),
        ("/v1/transactions?kind=nonsense", 422),
        ("/v1/transactions?limit=0", 422),
        ("/v1/transactions?limit=501", 422),
        ("/v1/transactions?limit=x", 422),
        ("/v1/transactions?round=-1", 422),
        ("/v1/transactions?round=" + "9" * 30, 422),
        ("/v1/transactions?cursor=nonsense", 400),
        ("/v1/transactions?cursor=" + "x" * 65, 422),
        ("/v1/transactions?since=nonsense", 400),
        ("/v1/transactions?since=" + "00" * 32, 404),
        ("/v1/transactions?issuer=0x12", 400),
        ("/v1/rounds/9", 404),
        ("/v1/rounds/-1", 404),
        ("/v1/rounds/" + "9" * 40, 404),
        ("/v1/rounds/x", 422),
        ("/v1/epochs/9", 404),
        ("/v1/epochs/x", 422),
        ("/v1/models/nonsense", 400),
        ("/v1/models/" + "00" * 32, 404),
        ("/v1/models/" + "00" * 32 + "/provenance", 404),
        ("/v1/models/" + "%20" * 64, 400),
        ("/v1/nothing", 404),
    ],
)
def test_a_bad_request_is_a_problem_document(client, path, status):
    assert is_problem(client.get(path), status)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/blobs/../../secrets/box.sealed",
        "/v1/blobs/..%2f..%2fsecrets%2fbox.sealed",
        "/v1/blobs/%2e%2e%2f%2e%2e%2fsecrets%2fbox.sealed",
        "/v1/blobs/%252e%252e%252fsecrets",
        "/v1/blobs//etc/passwd",
        "/v1/blobs/%2fetc%2fpasswd",
        "/v1/transactions/..%2f..%2fsecrets%2fbox.sealed/raw",
    ],
)
def test_nobody_walks_out_of_the_store(client, path):
    answer = client.get(path)
    assert answer.status_code in {400, 404}
    assert b"sealed secret" not in answer.content
    assert b"root:" not in answer.content


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/blobs/x"), ("DELETE", "/v1/transactions"), ("GET", "/v1/gossip")]
)
def test_other_methods_are_refused(client, method, path):
    assert is_problem(client.request(method, path), 405)


def test_a_body_beyond_the_limit_is_cut_off(client, member):
    """Sent in pieces without a length: it is refused as soon as the limit is passed, not when it ends."""
    sent = []

    def pieces():
        for _ in range(3 * MAX_MESSAGE_BYTES // (1 << 20)):
            sent.append(1)
            yield bytes(1 << 20)

    assert is_problem(client.post("/v1/audits", content=pieces()), 413)
    assert is_problem(member.post("/v1/gossip", content=bytes(MAX_MESSAGE_BYTES + 1)), 413)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(sorted(path for method, path in ROUTES if method == "GET" and "{" in path)),
    text=st.text(min_size=1, max_size=70),
)
def test_no_text_in_a_path_is_a_server_error(client, route, text):
    path = route.replace(
        route[route.index("{") : route.index("}") + 1], urllib.parse.quote(text, safe="", errors="replace")
    )
    assert client.get(path).status_code < 500


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.dictionaries(
        st.sampled_from(["kind", "round", "cursor", "limit", "since", "issuer", "order", "confirmed"]),
        st.text(max_size=20) | st.integers().map(str),
        max_size=4,
    )
)
def test_no_query_is_a_server_error(client, fields):
    assert client.get("/v1/transactions", params=fields).status_code < 500


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_no_body_is_a_server_error(client, body):
    assert client.post("/v1/gossip", content=body).status_code < 500
