from __future__ import annotations

import pytest

from chain import events as ev
from chain.connection import Connection
from chain.errors import BadArgument, ContractReverted
from chain.records import EpochStatus, bitmap_members
from tests.chain.support import PARAMETERS, Consortium, N, digest


def test_a_ceremony_from_start_to_key(consortium: Consortium) -> None:
    chain = consortium.client()
    assert (chain.epochs.active(), chain.epochs.latest()) == (0, 0)
    start = chain.block_number() + 1
    epoch = consortium.activate_epoch()
    assert (chain.epochs.active(), chain.epochs.latest()) == (epoch, 1)
    record = chain.epochs.get(epoch)
    assert record.status is EpochStatus.ACTIVE
    assert (record.parameter_set, record.threshold, record.joint_key) == (PARAMETERS, 3, digest("confirm"))
    assert bitmap_members(record.dealt) == bitmap_members(record.confirmed) == frozenset(range(N))
    kinds = [type(event) for event in chain.events(start)]
    # The third confirmation completes the quorum; the fourth is recorded only.
    assert kinds == [
        ev.EpochOpened,
        *[ev.Announced] * N,
        *[ev.Committed] * N,
        *[ev.Dealt] * N,
        *[ev.Tested] * N,
        *[ev.Confirmed] * 3,
        ev.EpochActivated,
        ev.Confirmed,
    ]
    committed = [event for event in chain.events(start) if isinstance(event, ev.Committed)]
    assert [event.member for event in committed] == [account.address for account in consortium.accounts]
    assert {event.commitment for event in committed} == {digest("commit")}


def test_an_unknown_epoch_is_none(consortium: Consortium) -> None:
    assert consortium.client().epochs.get(99).status is EpochStatus.NONE


def test_a_complaint_is_an_event_and_a_quorum_aborts(consortium: Consortium) -> None:
    offender = consortium.accounts[3].address
    clients = [consortium.client(index) for index in range(3)]
    clients[0].epochs.open(PARAMETERS, 3, clients[0].now() + 100)
    start = clients[0].block_number() + 1
    for client in clients:
        client.epochs.complain(1, offender, digest("evidence"))
    events = clients[0].events(start)
    assert [type(event) for event in events] == [ev.Complained, ev.Complained, ev.Complained, ev.EpochAborted]
    assert isinstance(events[0], ev.Complained)
    assert (events[0].offender, events[0].evidence) == (offender, digest("evidence"))
    assert clients[0].epochs.get(1).status is EpochStatus.ABORTED
    assert isinstance(events[3], ev.EpochAborted)
    assert bitmap_members(events[3].complained) == {0, 1, 2}


def test_abort_after_the_deadline(consortium: Consortium) -> None:
    chain = consortium.client(0)
    chain.epochs.open(PARAMETERS, 3, chain.now() + 100)
    with pytest.raises(ContractReverted, match="not over yet") as caught:
        chain.epochs.abort(1)
    assert caught.value.name == "CeremonyNotExpired"
    Connection(consortium.url).request("evm_increaseTime", 101)
    chain.epochs.abort(1)
    assert chain.epochs.get(1).status is EpochStatus.ABORTED


def test_digests_are_checked_before_they_are_sent(consortium: Consortium) -> None:
    epochs = consortium.client(0).epochs
    with pytest.raises(BadArgument, match="parameter_set: expected 32 bytes"):
        epochs.open(b"16 bytes of an id", 3, 2**33)
    with pytest.raises(BadArgument, match="joint_key"):
        epochs.confirm(1, b"")
    with pytest.raises(BadArgument, match="threshold"):
        epochs.open(PARAMETERS, 256, 2**33)
    with pytest.raises(BadArgument, match="offender"):
        epochs.complain(1, "nobody", digest("x"))


def test_a_refresh_from_start_to_switch(consortium: Consortium) -> None:
    epoch = consortium.activate_epoch()
    clients = [consortium.client(index) for index in range(N)]
    start = clients[0].block_number() + 1
    clients[0].epochs.refresh(clients[0].now() + 1000)
    record = clients[0].epochs.get(epoch)
    assert (record.status, record.refreshing, record.refreshes) == (EpochStatus.ACTIVE, True, 1)
    assert (bitmap_members(record.holders), record.announced) == (frozenset(range(N)), 0)
    for index, client in enumerate(clients):
        client.epochs.announce(epoch, digest(f"fresh {index}"))
    for step in ("commit", "deal", "test", "confirm"):
        for client in clients:
            getattr(client.epochs, step)(epoch, record.joint_key if step == "confirm" else digest(step))
    record = clients[0].epochs.get(epoch)
    assert (record.generation, record.refreshing, record.joint_key) == (1, False, digest("confirm"))
    assert clients[0].epochs.active() == epoch
    events = clients[0].events(start)
    kinds = [ev.RefreshOpened, *[ev.Announced] * N, *[ev.Committed] * N, *[ev.Dealt] * N, *[ev.Tested] * N]
    assert [type(event) for event in events] == [*kinds, *[ev.Confirmed] * N, ev.RefreshActivated]
    first, last = events[0], events[-1]
    assert isinstance(first, ev.RefreshOpened)
    assert isinstance(last, ev.RefreshActivated)
    assert (first.refresh, first.generation, first.opener) == (1, 1, consortium.accounts[0].address)
    assert (last.epoch, last.refresh, last.generation) == (epoch, 1, 1)
    clients[0].epochs.refresh(clients[0].now() + 1000)
    with pytest.raises(ContractReverted) as used:
        clients[0].epochs.announce(epoch, digest("fresh 0"))
    assert used.value.name == "BoxKeyUsed"


def test_a_refresh_that_is_overdue_ends_without_a_trace(consortium: Consortium) -> None:
    chain = consortium.client(0)
    with pytest.raises(ContractReverted) as none:
        chain.epochs.refresh(chain.now() + 100)
    assert none.value.name == "NothingToRefresh"
    epoch = consortium.activate_epoch()
    chain.epochs.refresh(chain.now() + 100)
    with pytest.raises(ContractReverted) as running:
        chain.epochs.open(PARAMETERS, 3, chain.now() + 100)
    assert running.value.name == "CeremonyRunning"
    Connection(consortium.url).request("evm_increaseTime", 101)
    start = chain.block_number() + 1
    chain.epochs.abort(epoch)
    (ended,) = chain.events(start)
    assert isinstance(ended, ev.RefreshAborted)
    assert (ended.refresh, ended.complained) == (1, 0)
    record = chain.epochs.get(epoch)
    assert (record.status, record.generation, record.refreshing) == (EpochStatus.ACTIVE, 0, False)
