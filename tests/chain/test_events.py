"""Every event has its class, and logs from a hostile endpoint are refused, not believed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from chain.artifact import CONTRACTS, load
from chain.errors import MalformedAnswer
from chain.events import EVENTS, Event, RoundAborted, decode_log, snake
from tests.chain.support import digest

if TYPE_CHECKING:
    from tests.chain.support import Consortium

TOPIC = keccak(text="RoundAborted(uint256,bytes32)")
LOG = {
    "topics": [TOPIC, (5).to_bytes(32, "big")],
    "data": digest("seed"),
    "blockNumber": 9,
    "logIndex": 2,
    "transactionHash": digest("tx"),
}


def test_every_event_of_the_contracts_has_a_class() -> None:
    entries = {e["name"]: e for name in CONTRACTS for e in load(name).abi if e["type"] == "event"}
    del entries["EIP712DomainChanged"]  # OpenZeppelin's; never emitted
    assert set(entries) == {event.__name__ for event in EVENTS}
    for event in EVENTS:
        own = [field.name for field in dataclasses.fields(event)][len(dataclasses.fields(Event)) :]
        assert own == [snake(argument["name"]) for argument in entries[event.__name__]["inputs"]]


def test_decodes() -> None:
    expected = RoundAborted(block=9, log_index=2, tx=digest("tx"), round=5, seed=digest("seed"))
    assert decode_log(LOG) == expected


def test_unknown_events_are_passed_over() -> None:
    assert decode_log({**LOG, "topics": [digest("something else")]}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"topics": []},
        {"topics": [TOPIC]},
        {"topics": [TOPIC, b"\0" * 32, b"\0" * 32]},
        {"topics": [TOPIC, b"\0" * 31]},
        {"data": b""},
        {"data": b"\0" * 31},
        {"blockNumber": None},
        {"transactionHash": None},
    ],
)
def test_malformed_logs_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer):
        decode_log({**LOG, **change})


@given(
    topics=st.lists(st.binary(max_size=40), max_size=4),
    data=st.binary(max_size=400),
    event=st.sampled_from([e for n in CONTRACTS for e in load(n).abi if e["type"] == "event"]),
)
def test_random_logs_never_crash(topics: list[bytes], data: bytes, event: dict[str, Any]) -> None:
    signature = f"{event['name']}({','.join(argument['type'] for argument in event['inputs'])})"
    try:
        decoded = decode_log({**LOG, "topics": [keccak(text=signature), *topics], "data": data})
    except MalformedAnswer:
        return
    assert decoded is None or type(decoded).__name__ == event["name"]


def test_ranges_of_blocks(consortium: Consortium) -> None:
    chain = consortium.client(0)
    blocks = [chain.registry.set_url(f"http://{n}").block for n in range(3)]
    assert [event.block for event in chain.events(blocks[0])] == blocks
    assert [event.block for event in chain.events(blocks[1], blocks[1])] == blocks[1:2]
    assert [event.block for event in chain.events(blocks[1], blocks[2] + 1000)] == blocks[1:]
    assert chain.events(blocks[2] + 1) == []
    assert chain.events(blocks[2], blocks[1]) == []


def test_only_this_deployments_events_are_read(consortium: Consortium) -> None:
    other = dataclasses.replace(consortium.deployment, registry=f"0x{5:040x}")
    from chain.client import Chain

    chain = consortium.client(0)
    block = chain.registry.set_url("http://new").block
    assert Chain(consortium.url, other).events(block) == []
