"""What the routes answer over one round of the simulation: filters, cones, proofs, verdicts, conditional requests."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pydantic import TypeAdapter

from chain.records import Hospital
from chain.votes import Admission
from crypto.errors import MalformedBytes
from crypto.passing import receive_passed
from crypto.secrets import BoxKey
from dag.bodies import Kind
from dag.ids import cid_of
from dag.proofs.checkpoint import cosign
from dag.proofs.merkle import ConsistencyProof, verify_consistency
from dag.proofs.notes import Note
from dag.proofs.proof import TransactionProof
from dag.proofs.roundlog import RoundLog
from node.api.routes.rounds import _sectioned
from node.api.rows import TransactionRows
from node.api.shapes_ledger import TransactionShape
from node.api.shapes_rounds import VerdictShape
from node.daemon.witness import present_witnesses
from node.membership.motion import Motion
from node.sealing.models import OWN, own_key, seal_own


@pytest.fixture(scope="module")
def log(service):
    """The log of finalised rounds, as the daemon's witness reads it."""
    view = service.view
    witnesses = present_witnesses(service.chain.deployment.consortium, view)
    anchored = {row.round: row.proposal for row in view.rounds.values() if row.finalised}
    found = service.publisher.read(
        lambda ledger: RoundLog.read(
            ledger.tangle, ledger.transactions(Kind.CHECKPOINT, limit=500), witnesses, anchored
        )
    )
    service.witness.log = found
    yield found
    service.witness.log = None


def rows_of(client, **query):
    return client.get("/v1/transactions", params={"limit": 500} | query).json()["transactions"]


# ---- the ledger --------------------------------------------------------------------------------------------------------


def test_rows_are_what_their_shape_says(client, net):
    """Rows are written without their shape, for speed: here they are held to it, field for field."""
    rows = rows_of(client)
    for row in rows:
        assert TransactionShape.model_validate(row).model_dump(mode="json") == row
    assert {row["kind"] for row in rows} == {str(kind) for kind in Kind}
    seats = {account.address: seat for seat, account in enumerate(net.accounts)}
    assert [row["seat"] for row in rows] == [seats.get(row["issuer"]) for row in rows]


def test_filters_narrow_the_list(client, net):
    rows = rows_of(client)
    account = net.accounts[2].address
    for spelled in (account, account.lower(), account[2:]):
        assert rows_of(client, issuer=spelled) == [row for row in rows if row["issuer"] == account]
    assert rows_of(client, issuer="0x" + "ab" * 20) == []
    for confirmed in (True, False):
        assert rows_of(client, confirmed=confirmed) == [row for row in rows if row["confirmed"] is confirmed]
    assert rows_of(client, order="newest") == rows[::-1]
    assert rows_of(client, since=rows[10]["id"]) == rows[11:]
    assert rows_of(client, since=rows[10]["hex"], kind="verdict") == [r for r in rows[11:] if r["kind"] == "verdict"]


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_filtered_list_in_pages(client, order):
    query = {"kind": "acknowledgement", "order": order}
    whole, found, cursor = rows_of(client, **query), [], None
    assert len(whole) > 4
    while True:
        page = client.get(
            "/v1/transactions", params=query | {"limit": 2} | ({"cursor": cursor} if cursor else {})
        ).json()
        found += page["transactions"]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == whole
    first = client.get("/v1/transactions", params={"limit": 2}).json()["next"]
    assert client.get("/v1/transactions", params=query | {"cursor": first}).status_code == 400


def test_a_parameter_given_twice_is_refused(client):
    answer = client.get("/v1/transactions?limit=1&kind=update&limit=2")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert "more than once" in answer.json()["detail"]


def test_weights_are_how_many_members_approve(client, service):
    tangle = service.publisher.read(lambda ledger: ledger.tangle)
    for row in rows_of(client):
        assert row["weight"] == sum(tangle.approved_by(bytes.fromhex(row["hex"]), seat) for seat in range(4))


def test_a_cone_is_what_is_reached(client):
    rows = {row["id"]: row for row in rows_of(client)}
    start = next(row for row in rows.values() if row["kind"] == "proposal")["id"]
    for direction in ("past", "future"):
        children = {cid: [r["id"] for r in rows.values() if cid in r["parents"]] for cid in rows}
        far, queue = {start: 0}, [start]
        for at in queue:
            for other in dict.fromkeys(rows[at]["parents"]) if direction == "past" else children[at]:
                if other not in far:
                    far[other] = far[at] + 1
                    queue.append(other)
        got = client.get(f"/v1/transactions/{start}/cone", params={"direction": direction, "limit": 500, "depth": 64})
        assert {row["id"]: row["distance"] for row in got.json()["transactions"]} == far
        assert got.json()["cut"] is False
        near = client.get(f"/v1/transactions/{start}/cone", params={"direction": direction, "depth": 1}).json()
        assert {row["id"] for row in near["transactions"]} == {cid for cid, steps in far.items() if steps <= 1}
        few = client.get(f"/v1/transactions/{start}/cone", params={"direction": direction, "limit": 2}).json()
        assert (len(few["transactions"]), few["cut"]) == (2, True)


def test_kept_rows_are_few_and_the_newest_used(service):
    rows = TransactionRows(kept_bytes=3000)
    ids = service.publisher.read(lambda ledger: list(ledger.tangle.ids()))
    once = service.publisher.read(lambda ledger: rows.rows(ledger, ids, service.view))
    assert service.publisher.read(lambda ledger: rows.rows(ledger, ids, service.view)) == once
    assert sum(map(len, rows._kept.values())) == rows._held <= 3000
    assert next(reversed(rows._kept)) == ids[-1]


# ---- proofs ------------------------------------------------------------------------------------------------------------


def test_a_proof_convinces_whoever_knows_the_members(client, log):
    update = rows_of(client, kind="update")[0]
    proof = TransactionProof.parse(client.get(f"/v1/transactions/{update['id']}/proof").content)
    proof.verify(log.witnesses)
    assert cid_of(proof.transaction.id) == update["id"]
    verdict = rows_of(client, kind="verdict")[0]
    refused = client.get(f"/v1/transactions/{verdict['id']}/proof")
    assert (refused.status_code, refused.headers["content-type"]) == (404, "application/problem+json")


def test_a_proof_with_the_log_reaches_the_cosigned_head(client, log, service, net):
    update = rows_of(client, kind="update")[0]["id"]
    assert client.get(f"/v1/transactions/{update}/proof?log=true").status_code == 404
    keys = [hashlib.sha256(b"member" + bytes([6, k])).digest() for k in range(4)]
    lines = tuple(cosign(log.head, key, 1_700_000_000) for key in keys)
    service.home.checkpoint.write_text(Note(log.head.render(), lines).render())
    try:
        proof = TransactionProof.parse(client.get(f"/v1/transactions/{update}/proof?log=true").content)
        proof.verify(log.witnesses)
        assert proof.log is not None
    finally:
        service.home.checkpoint.unlink()


def test_the_log_and_its_growth(client, log):
    body = client.get("/v1/log").json()
    assert (body["size"], body["root"]) == (1, log.head.root.hex())
    assert body["rounds"][0]["transactions"] == len(log.rounds[0].ids)
    one = client.get("/v1/log/consistency?first=1&second=1").json()
    path = tuple(map(bytes.fromhex, one["path"]))
    verify_consistency(
        bytes.fromhex(one["first_root"]), bytes.fromhex(one["second_root"]), ConsistencyProof(1, 1, path)
    )
    for first, second in ((1, 2), (2, 1)):
        assert client.get(f"/v1/log/consistency?first={first}&second={second}").status_code == 404


# ---- rounds and models -------------------------------------------------------------------------------------------------


def test_verdicts_say_how_each_hospital_scored(client, service, net):
    verdicts = client.get("/v1/verdicts").json()["verdicts"]
    assert Counter(row["seat"] for row in verdicts) == dict.fromkeys(range(4), 1)
    assert all(row["counted"] and 0 <= row["base_accuracy"] <= 1 for row in verdicts)
    assert client.get("/v1/verdicts?round=2").json()["verdicts"] == []
    detail = client.get("/v1/rounds/1").json()
    assert detail["verdicts"] == verdicts
    assert [row["samples"] for row in detail["updates"]] == [
        service.publisher.get(bytes.fromhex(row["hex"])).body.samples for row in rows_of(client, kind="update")
    ]
    pages = client.get("/v1/verdicts?limit=3&order=newest").json()
    assert pages["verdicts"] == verdicts[:0:-1]
    rest = client.get("/v1/verdicts", params={"limit": 3, "order": "newest", "cursor": pages["next"]}).json()
    assert rest == {"verdicts": verdicts[:1], "next": None}


def test_verdicts_say_of_how_many_sections_the_sums_are(client, service, net):
    assert {row["sections"] for row in client.get("/v1/verdicts").json()["verdicts"]} == {1}
    found = service.publisher.read(lambda ledger: list(ledger.transactions(Kind.VERDICT, 1)))
    proposal = service.publisher.get(found[0].body.proposal).body
    cut = replace(proposal, groups=proposal.groups * 3, sums=proposal.sums * 3)
    asked = []
    ledger = SimpleNamespace(get=lambda tx_id: asked.append(tx_id) or SimpleNamespace(body=cut))
    told = [VerdictShape.of(*each, service.view) for each in _sectioned(ledger, found)]
    assert [verdict.sections for verdict in told] == [3] * 4
    assert asked == [found[0].body.proposal], "a proposal is looked up once"


def test_phases_add_up(client):
    detail = client.get("/v1/rounds/1").json()
    marks = detail["here"]["marks"]
    assert [phase["name"] for phase in detail["phases"]][:3] == ["plan", "train", "post"]
    ended = {phase["name"]: phase["ended"] for phase in detail["phases"]}
    assert ended == {name: marks.get(name) for name in ended}
    assert sum(phase["seconds"] for phase in detail["phases"]) >= max(ended.values()) - marks["begin"] - 0.01
    assert detail["bytes"]["upload"] == detail["here"]["upload_bytes"] > 0
    assert detail["gas"]["total"] == sum(value for name, value in detail["gas"].items() if name != "total")


def test_rounds_by_status_and_order(client):
    everything = client.get("/v1/rounds").json()["rounds"]
    assert client.get("/v1/rounds?status=finalised&order=newest").json()["rounds"] == everything[::-1]
    assert client.get("/v1/rounds?status=open").json() == {"rounds": [], "next": None}


def test_the_model_itself_is_its_hash(client, service, net):
    model = net.chain.head.hex()
    answer = client.get(f"/v1/models/{model}/file")
    keys = net.nodes[0].ports.keys
    if answer.status_code == 404:  # the fixture's vault is empty: give it the keys of the simulation
        assert "no keys" in answer.json()["detail"]
    held = service.keeper.keys
    service.keeper.keys = lambda epoch: keys if epoch == 1 else None
    try:
        data = client.get(f"/v1/models/{model}/file").content
        sealed = service.journal.model(bytes.fromhex(model))[2]
        blob = service.store.get(sealed)
        assert hashlib.sha256(data).hexdigest() == model
        assert data[:64] not in blob, "what lies in the store is sealed"
    finally:
        service.keeper.keys = held


def test_the_model_is_passed_on_to_one_member_alone(client, member, service, net, monkeypatch):
    model, box = net.chain.head.hex(), BoxKey.generate()
    hospitals = list(service.view.hospitals)
    hospitals[1] = replace(hospitals[1], box_key=box.public)
    monkeypatch.setattr(service, "view", replace(service.view, hospitals=tuple(hospitals)))
    monkeypatch.setattr(service.keeper, "keys", lambda epoch: net.nodes[0].ports.keys if epoch == 1 else None)
    answer = member.get(f"/v1/models/{model}/passed/1")
    assert answer.status_code == 200
    assert "etag" not in answer.headers
    assert hashlib.sha256(receive_passed(answer.content, box)).hexdigest() == model
    with pytest.raises(MalformedBytes, match="not sealed to this"):
        receive_passed(answer.content, BoxKey.generate())
    assert member.get(f"/v1/models/{model}/passed/0").status_code == 404, "its registered key is no point"
    assert member.get(f"/v1/models/{model}/passed/9").status_code == 404
    assert member.get(f"/v1/models/{'00' * 32}/passed/1").status_code == 404
    assert client.get(f"/v1/models/{model}/passed/1").status_code == 403, "for members"


def test_a_model_that_was_passed_on_here_is_opened_with_the_own_key(client, service, net, monkeypatch):
    data, key = b"a model", own_key(lambda label: hashlib.sha256(label).digest())
    model = hashlib.sha256(data).digest()
    known = service.view.models[net.chain.head]
    monkeypatch.setattr(
        service, "view", replace(service.view, models={**service.view.models, model: replace(known, model=model)})
    )
    monkeypatch.setattr(service, "own_models", key, raising=False)
    service.journal.keep_model(model, OWN, 1, service.store.put(seal_own(key, 1, data)))
    assert client.get(f"/v1/models/{model.hex()}/file").content == data
    assert client.get(f"/v1/models/{model.hex()}/sealed/0").status_code == 404, "of no use to anybody else"


def test_statements_byte_for_byte(client, net):
    newest = client.get("/v1/models?order=newest&limit=1").json()["models"][0]
    answer = client.get(f"/v1/models/{newest['model']}/statement")
    assert hashlib.sha256(answer.content).hexdigest() == newest["statement"]
    assert newest["newest"]
    assert newest["held"]
    genesis = client.get("/v1/models").json()["models"][0]["model"]
    for what in ("statement", "envelope"):
        assert client.get(f"/v1/models/{genesis}/{what}").status_code == 404
    assert client.get(f"/v1/models/{genesis}").json()["children"] == [newest["model"]]


# ---- the consortium ----------------------------------------------------------------------------------------------------


def test_members_one_by_one(client):
    members = client.get("/v1/members").json()["members"]
    assert [client.get(f"/v1/members/{row['index']}").json() for row in members] == members
    assert client.get("/v1/members?former=true").json()["members"] == members
    for index in (-1, 4, 10**30):
        assert client.get(f"/v1/members/{index}").status_code == 404


def test_motions_with_who_signed(client, service, net):
    candidate = Hospital("0x" + "ab" * 20, b"b" * 32, 9, "New", "http://new")
    vote = Admission(hospital=candidate, decision=4, deadline=2**40)
    motion = Motion.of(vote, service.chain.deployment)
    service.book.add(motion, net.accounts[1].address, b"s" * 65)
    (row,) = client.get("/v1/motions").json()["motions"]
    assert (row["id"], row["kind"], row["state"], row["quorum"]) == (motion.id.hex(), "Admission", "pending", 3)
    assert row["vote"]["hospital"]["name"] == "New"
    assert [signer["index"] for signer in row["signers"]] == [1]
    service.book.end(motion, "carried out")
    assert client.get("/v1/motions").json()["motions"] == []
    (over,) = client.get("/v1/motions?state=ended").json()["motions"]
    assert (over["state"], over["ended"]) == ("ended", "carried out")


# ---- the node ----------------------------------------------------------------------------------------------------------


def test_what_the_caller_has_is_not_sent_again(client, net):
    model = net.chain.head.hex()
    for path in ("transactions", "transactions/tips", "rounds", "rounds/1", "models", f"models/{model}", "members", "epochs",
                 f"models/{model}/card", f"models/{model}/provenance", "verdicts", "motions", "log", "training"):  # fmt: skip
        first = client.get(f"/v1/{path}")
        assert first.headers["etag"].startswith('"'), path
        again = client.get(f"/v1/{path}", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"]), path
        assert client.get(f"/v1/{path}", headers={"If-None-Match": '"other"'}).content == first.content


def test_readiness_says_what_is_missing(client, service):
    answer = client.get("/v1/ready")
    checks = {check["name"]: check for check in answer.json()["checks"]}
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert {name for name, check in checks.items() if not check["ok"]} == {"chain", "epoch"}
    assert "endpoint does not answer" in checks["chain"]["detail"]
    assert str(service.home.root) not in answer.text


def test_storage_is_counted(client, service):
    found = client.get("/v1/storage").json()
    assert found["blobs"] == len(list(service.store.iterate()))
    assert found["bytes"] == sum(service.store.size(cid) for cid in service.store.iterate())
    assert found["free_bytes"] > 0


def test_every_list_is_a_page(client):
    """`next` everywhere, and a limit that is kept."""
    names = {"transactions": "transactions", "rounds": "rounds", "models": "models", "epochs": "epochs",
             "motions": "motions", "verdicts": "verdicts", "log": "rounds", "training": "rounds"}  # fmt: skip
    for path, name in names.items():
        body = client.get(f"/v1/{path}?limit=1").json()
        assert len(body[name]) <= 1
        assert TypeAdapter(str | None).validate_python(body["next"]) == body["next"]
        for limit in (0, 501, "x"):
            assert client.get(f"/v1/{path}?limit={limit}").status_code == 422
