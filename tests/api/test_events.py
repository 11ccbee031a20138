"""The event stream: what changed is told once, in order, resumed after a break, and ends with the node."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain import events as ev
from node.api import events as module
from node.api.changes import MOST_TRANSACTIONS, Seen, changes
from node.api.events import Events
from node.api.routes.events import router
from node.api.serving import ApiServer
from node.consortium.view import ConsortiumView, fold

WHERE = {"block": 9, "log_index": 0, "tx": bytes(32)}


# ---- what changed ------------------------------------------------------------------------------------------------------


def look(service, before=None):
    return Seen.of(service, before or Seen())


def test_the_first_look_tells_nothing_and_the_same_look_neither(service):
    first = look(service)
    assert list(changes(Seen(), first, service)) == []
    assert list(changes(first, look(service, first), service)) == []


def test_a_round_as_it_would_have_been_followed(service, net):
    """From an empty view to the one after the round."""
    runner = SimpleNamespace(
        phase="train", doing="training 40%", progress=("training", 0.4), state=SimpleNamespace(
            rank=1, facts=SimpleNamespace(round=1)
        ),
    )  # fmt: skip
    empty = ConsortiumView.of(service.view.hospitals)
    before = SimpleNamespace(
        view=empty,
        conductor=SimpleNamespace(runners={1: runner}),
        publisher=SimpleNamespace(read=lambda _: 0),
        gossip=SimpleNamespace(presence=SimpleNamespace(silent=frozenset({service.view.hospitals[0].url}))),
    )
    seen = look(before)
    told = list(changes(seen, look(service, seen), service))
    by_name = {name: [data for kind, data in told if kind == name] for name, _ in told}
    (phase,) = by_name["phase"]
    assert (phase["round"], phase["phase"]) == (1, "done")
    assert by_name["round"] == [{"round": 1, "status": "finalised"}]
    assert by_name["epoch"] == [{"epoch": 1, "state": "active, generation 0"}]
    first = service.view.hospitals[0]
    assert {"index": 0, "name": first.name, "change": "heard"} in by_name["member"]
    assert [data["model"] for data in by_name["model"]][-1] == net.chain.head.hex()
    count = service.publisher.read(len)
    if count > MOST_TRANSACTIONS:
        assert by_name["transactions"] == [{"count": count, "transactions": count}]
    else:
        assert len(by_name["transaction"]) == count


def test_few_transactions_are_told_one_by_one(service, net):
    now = look(service)
    told = list(changes(replace(now, transactions=now.transactions - 3), now, service))
    ids = service.publisher.read(lambda ledger: [ledger.tangle.id_at(now.transactions - n).hex() for n in (3, 2, 1)])
    rows = [service.publisher.get(bytes.fromhex(text)) for text in ids]
    assert [(name, data["kind"], data["round"]) for name, data in told] == [
        ("transaction", str(row.kind), row.round) for row in rows
    ]
    assert told[0][1]["hospital"] == f"Hospital {net.addresses.index(rows[0].issuer)}"


def test_members_come_change_and_go(service):
    was = look(service)
    account = "0x" + "12" * 20
    steps = [
        ([ev.HospitalAdmitted(index=4, account=account, box_key=bytes(32), data_size=5, name="New", url="", **WHERE)], "joined"),
        ([ev.UrlChanged(account=account, url="http://new", **WHERE)], "changed"),
        ([ev.CardRegistered(index=4, account=account, digest=b"\1" * 32, **WHERE)], "card"),
        ([ev.FaultRecorded(round=1, index=4, fault=5, evidence=bytes(32), points=10, reputation=90, **WHERE)], "reputation"),
        ([ev.HospitalRemoved(index=4, account=account, **WHERE)], "left"),
    ]  # fmt: skip
    for events, change in steps:
        now = replace(was, view=fold(was.view, events))
        assert list(changes(was, now, service)) == [("member", {"index": 4, "name": "New", "change": change})]
        was = now


# ---- the stream --------------------------------------------------------------------------------------------------------


@given(kept=st.integers(1, 8), told=st.integers(0, 20), seen=st.integers(0, 20))
def test_a_reader_gets_what_it_has_not_seen_or_is_told_of_the_gap(kept, told, seen):
    hub = Events(None, kept=kept)
    for number in range(told):
        hub.publish("round", {"round": number + 1})
    place = hub.place_of(f"{hub.boot}-{seen}")
    if seen > told:
        assert place is None
        return
    found = hub.after(place)
    rest = [event.data["round"] for event in found if event.name == "round"]
    assert rest == list(range(max(seen, told - kept) + 1, told + 1))
    assert ("gap" in {event.name for event in found}) == (told - kept > seen)


@pytest.mark.parametrize("last", ["", "x", "0-1", "nonsense-5", "{boot}-", "{boot}-٣", "{boot}--1", "{boot}-99"])
def test_an_id_of_another_run_is_a_gap(last):
    hub = Events(None)
    hub.publish("round", {})
    assert hub.place_of(last.format(boot=hub.boot)) is None
    assert hub.place_of(None) == 1


@contextmanager
def serving(hub: Events):
    """The route on a real socket, in a thread; ends as the daemon's server does."""
    from contextlib import asynccontextmanager

    from fastapi import FastAPI

    @asynccontextmanager
    async def life(_):
        hub._loop = asyncio.get_running_loop()
        yield

    app = FastAPI(lifespan=life)
    app.state.events = hub
    app.include_router(router(hub))
    server = ApiServer(app, port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/events"
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        assert not thread.is_alive(), "an open stream keeps the server from ending"


def read_until(lines, name):
    """The next event of that name: (id, data)."""
    fields = {}
    for line in lines:
        if line:
            key, _, value = line.partition(": ")
            fields[key] = value
        elif fields.get("event") == name:
            return fields["id"], json.loads(fields["data"])
        else:
            fields = {}
    raise AssertionError(f"the stream ended without {name}")


def test_news_come_at_once_and_after_a_break_the_rest(monkeypatch):
    hub = Events(None, heartbeat_seconds=0.2)
    with serving(hub) as url, httpx.Client(timeout=5, trust_env=False) as http:
        with http.stream("GET", url) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            while not hub.readers:
                time.sleep(0.01)
            started = time.perf_counter()
            hub.publish("round", {"round": 1})
            last, data = read_until(lines, "round")
            assert data == {"round": 1}
            assert time.perf_counter() - started < 0.15, "sooner than the next heartbeat"
            while not next(lines).startswith(":"):
                pass
        for number in (2, 3):
            hub.publish("round", {"round": number})
        with http.stream("GET", url, headers={"Last-Event-ID": last}) as answer:
            lines = answer.iter_lines()
            assert [read_until(lines, "round")[1]["round"] for _ in range(2)] == [2, 3]
        with http.stream("GET", url, params={"last": "00000000-7"}) as answer:
            assert read_until(answer.iter_lines(), "gap")[1] == {"missed": True}
        monkeypatch.setattr("node.api.routes.events.MAX_READERS", 0)
        assert http.get(url).status_code == 503


def test_the_server_ends_while_streams_are_open():
    hub = Events(None)
    with serving(hub) as url, httpx.Client(timeout=5, trust_env=False) as http:
        response = http.send(http.build_request("GET", url), stream=True)
        while not hub.readers:
            time.sleep(0.01)
    assert hub.closed
    response.close()


async def test_a_running_node_tells_by_itself(service, monkeypatch):
    """Thread, comparison, warnings of the log: until it is stopped."""
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    copy = SimpleNamespace(**vars(service))
    hub = Events(copy)
    hub.start()
    try:
        await asyncio.sleep(0.1)
        stream = hub.stream(None)
        assert await anext(stream) == b"retry: 2000\n\n"
        coming = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.05)
        copy.view = fold(copy.view, [ev.HospitalRemoved(index=3, account="0x" + "00" * 20, **WHERE)])
        assert b"event: member" in await asyncio.wait_for(coming, 3)
        logging.getLogger("medweave.rounds").warning("round %d:\n%s", 7, "x" * 2000)
        assert b"event: warning" in await asyncio.wait_for(anext(stream), 3)
        (warning,) = hub.warnings
        assert (warning.logger, len(warning.text)) == ("medweave.rounds", 500)
        assert "\n" not in warning.text
        copy.publisher = None  # whatever breaks a look does not end the stream
        await asyncio.sleep(0.1)
        copy.publisher = service.publisher
        copy.view = service.view
        while b"event: member" not in (told := await asyncio.wait_for(anext(stream), 3)):
            assert b"event: warning" in told
    finally:
        await asyncio.to_thread(hub.stop)
    assert not hub._thread.is_alive()
    logging.getLogger("medweave").warning("after the end")
    assert len(hub.warnings) == 2
