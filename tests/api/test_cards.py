"""The routes of a round's envelope, a model's card, and the digests of data cards."""

from __future__ import annotations

import pytest

from chain import events as ev
from node.consortium.view import fold
from node.provenance.envelopes import FACT, EnvelopeKeeper, members_of
from node.rounds.dsse import Envelope, verify_envelope
from node.storage import raw_cid

MEDIA = {"html": "text/html", "md": "text/markdown", "json": "application/json"}


@pytest.fixture
def kept(service):
    EnvelopeKeeper(service.publisher, service.store, service.journal).look(service.view)


@pytest.fixture
def head(service) -> str:
    return service.view.head.hex()


@pytest.mark.usefixtures("kept")
def test_the_envelope_of_a_round_convinces(client, service):
    answer = client.get("/v1/rounds/1/envelope")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/vnd.dsse.envelope.v1+json"
    row = service.view.rounds[1]
    verify_envelope(answer.content, members_of(row), row.quorum)
    assert Envelope.from_bytes(answer.content).statement().digest == row.statement
    assert client.get("/v1/rounds/1").json()["here"][FACT]["whole"]


@pytest.mark.parametrize(("number", "status"), [("2", 404), ("0", 404), ("-1", 404), ("x", 422), ("9" * 40, 404)])
def test_a_round_without_an_envelope_has_none(client, number, status):
    assert client.get(f"/v1/rounds/{number}/envelope").status_code == status


@pytest.mark.parametrize("form", MEDIA)
@pytest.mark.usefixtures("kept")
def test_a_card_in_every_form(client, service, head, form):
    answer = client.get(f"/v1/models/{head}/card", params={"form": form})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(MEDIA[form])
    assert head in answer.text
    assert service.journal.recall(1, FACT)["cid"] in answer.text


def test_a_page_is_the_default_and_other_forms_are_refused(client, head):
    assert client.get(f"/v1/models/{head}/card").text.startswith("<!doctype html>")
    assert client.get(f"/v1/models/{head}/card", params={"form": "pdf"}).status_code == 422
    assert client.get(f"/v1/models/{'ab' * 32}/card").status_code == 404


def test_a_card_whose_sources_are_elsewhere_says_which(client, service, head, monkeypatch):
    from node.storage import BlobMissing

    wanted, get = raw_cid(service.view.rounds[1].statement), service.store.get

    def without(cid):
        if cid == wanted:
            raise BlobMissing(cid, "here")
        return get(cid)

    monkeypatch.setattr(service.store, "get", without)
    answer = client.get(f"/v1/models/{head}/card")
    assert answer.status_code == 404
    assert "the statement of round 1" in answer.json()["detail"]


def test_members_show_the_digest_of_their_data_card(client, service, monkeypatch):
    assert [row["card"] for row in client.get("/v1/members").json()["members"]] == [None] * 4
    where = {"block": 99, "log_index": 0, "tx": bytes(32)}
    account = service.view.hospitals[2].account
    card = ev.CardRegistered(index=2, account=account, digest=b"\xab" * 32, **where)
    monkeypatch.setattr(service, "view", fold(service.view, [card]))
    rows = client.get("/v1/members").json()["members"]
    assert [row["card"] for row in rows] == [None, None, "ab" * 32, None]
