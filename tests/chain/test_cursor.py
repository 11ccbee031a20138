"""CHN-6: whatever a chain does, following it ends where reading it from the start ends, and nothing is read twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.connection import Connection
from chain.cursor import ChainWentBack, EventCursor
from chain.errors import BadChainFile, ChainInFlux, ChainUnreachable, MalformedAnswer, RpcRefused
from chain.eventlog import HASHES_KEPT, EventLog
from chain.events import UrlChanged
from chain.logs import read_logs
from tests.chain.simchain import DEPLOYMENT, SimConnection

if TYPE_CHECKING:
    from chain.events import Event
    from tests.chain.support import Consortium


def cursor(chain: Any, path: Path | str = ":memory:") -> EventCursor:
    return EventCursor(chain, DEPLOYMENT, EventLog(path, DEPLOYMENT))


def rounds(events: tuple[Event, ...]) -> list[int]:
    return [event.round for event in events]  # type: ignore[attr-defined]


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("mine"), st.lists(st.integers(1, 99), max_size=3)),
        st.tuples(st.just("cut"), st.integers(1, 6)),
        st.tuples(st.just("look"), st.none()),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("down"), st.none()),
    ),
    max_size=40,
)


@given(MOVES)
def test_following_ends_where_reading_everything_ends(moves: list[tuple[str, Any]]) -> None:
    """However a chain grows, is cut and grows otherwise between two looks, however often the reader starts anew."""
    chain, log = SimConnection(), EventLog(":memory:", DEPLOYMENT)
    reader, told = EventCursor(chain, DEPLOYMENT, log), []
    for move, what in (*moves, ("look", None)):
        match move:
            case "mine":
                chain.mine(*what)
            case "cut":
                chain.cut(what)
            case "restart":
                reader = EventCursor(chain, DEPLOYMENT, log)
                told = list(reader.replay())
            case "down":
                chain.up = False
                with pytest.raises(ChainUnreachable):
                    reader.look()
                chain.up = True
            case "look":
                news = reader.look()
                if news.went_back:
                    told = [event for event in told if event.block <= news.went_back.ancestor]
                told += news.events
                assert rounds(tuple(told)) == rounds(reader.replay()) == chain.rounds()


def test_no_block_is_read_twice() -> None:
    chain = SimConnection()
    reader = cursor(chain)
    for grow in (3, 0, 1, 5, 0):
        for number in range(grow):
            chain.mine(number)
        reader.look()
    assert chain.asked == [(1, 3), (4, 4), (5, 9)]


def test_the_newest_common_block_is_found_and_said() -> None:
    chain = SimConnection()
    reader = cursor(chain)
    for number in range(1, 9):
        chain.mine(number)
        reader.look()
    chain.cut(3)
    for number in (60, 70, 80, 90):
        chain.mine(number)
    news = reader.look()
    assert news.went_back == ChainWentBack(ancestor=5, seen=8)
    assert rounds(news.events) == [60, 70, 80, 90]
    assert chain.asked[-1] == (6, 9), "what both share is not read again"
    assert reader.look().went_back is None


def test_a_chain_of_the_same_height_with_another_last_block_is_noticed() -> None:
    chain = SimConnection()
    reader = cursor(chain)
    chain.mine(1)
    reader.look()
    chain.cut(1)
    chain.mine(2)
    assert reader.look().went_back == ChainWentBack(0, 1)
    assert rounds(reader.replay()) == [2]


def test_going_back_is_told_even_if_the_look_that_found_it_failed() -> None:
    chain = SimConnection()
    reader = cursor(chain)
    for number in (1, 2, 3):
        chain.mine(number)
    reader.look()
    chain.cut(2)
    chain.mine(4)
    chain.most = 0
    with pytest.raises(RpcRefused):
        reader.look()
    chain.most = 10
    assert reader.look().went_back == ChainWentBack(1, 3)
    assert rounds(reader.replay()) == [1, 4]


def test_a_chain_that_changes_while_it_is_read_is_read_again() -> None:
    chain = SimConnection()
    reader = cursor(chain)
    for number in (1, 2):
        chain.mine(number)

    def replace_last() -> None:
        chain.cut(1)
        chain.mine(7)

    chain.during_logs = replace_last
    with pytest.raises(ChainInFlux):
        reader.look()
    assert reader.position() is None, "nothing of the mixture was kept"
    chain.during_logs = lambda: None
    assert rounds(reader.look().events) == [1, 7]


def test_a_reader_goes_on_from_its_file(tmp_path: Path) -> None:
    chain = SimConnection()
    for number in range(5):
        chain.mine(number)
    first = cursor(chain, tmp_path / "events.sqlite")
    first.look()
    assert (position := first.position()) is not None
    assert (position.block, position.hash, position.log_index) == (5, chain.blocks[5][0], 0)
    chain.cut(2)
    chain.mine(9)
    second = cursor(chain, tmp_path / "events.sqlite")
    assert rounds(second.replay()) == [0, 1, 2, 3, 4]
    assert second.look().went_back == ChainWentBack(3, 5), "the chain went back while nobody looked"
    assert rounds(second.replay()) == [0, 1, 2, 9]


def test_a_long_silence_keeps_few_hashes() -> None:
    chain, log = SimConnection(), EventLog(":memory:", DEPLOYMENT)
    reader = EventCursor(chain, DEPLOYMENT, log)
    chain.mine(1)
    for _ in range(HASHES_KEPT + 50):
        chain.mine()
        reader.look()
    numbers = [number for number, _ in log.blocks()]
    assert len(numbers) == HASHES_KEPT + 1
    assert numbers[0] == 1, "a block with events is remembered"


@pytest.mark.parametrize("most", [1, 2, 3, 7, 100])
def test_ranges_shrink_until_the_endpoint_gives_an_answer(most: int) -> None:
    chain = SimConnection(most)
    for number in range(50):
        chain.mine(number)
    parts = list(read_logs(chain, ["0x"], 1, 50, 40))  # type: ignore[arg-type]
    read = [int.from_bytes(log.topics[1], "big") for _, logs in parts for log in logs]
    assert read == list(range(50))
    answered = [(first, last) for first, last in chain.asked if last - first < most]
    assert all(last - first < 40 for first, last in chain.asked)
    assert answered[-1][1] == 50


def test_an_endpoint_that_gives_nothing_is_said() -> None:
    with pytest.raises(RpcRefused, match="at most 0"):
        list(read_logs(SimConnection(0), ["0x"], 1, 50))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "lie",
    [
        {"blockNumber": 99},
        {"blockNumber": None},
        {"blockHash": b"short"},
        {"logIndex": -1},
        {"topics": [bytes(32)] * 5},
        {"topics": [bytes(31)]},
        {"data": bytes(70_000)},
        {"data": None},
    ],
)
def test_a_lying_endpoint_is_refused_and_nothing_is_kept(lie: dict[str, Any]) -> None:
    chain = SimConnection()
    chain.mine(1)
    honest = chain._logs
    chain.w3.eth.get_logs = lambda query: [{**entry, **lie} for entry in honest(query)]
    reader = cursor(chain)
    with pytest.raises(MalformedAnswer):
        reader.look()
    assert reader.position() is None


def test_two_logs_at_one_place_are_refused() -> None:
    chain = SimConnection()
    chain.mine(1)
    honest = chain._logs
    chain.w3.eth.get_logs = lambda query: honest(query) * 2
    with pytest.raises(MalformedAnswer, match="one place"):
        cursor(chain).look()


def test_another_deployments_file_and_rubbish_are_refused(tmp_path: Path) -> None:
    EventLog(tmp_path / "a", DEPLOYMENT).close()
    with pytest.raises(BadChainFile, match="another deployment"):
        EventLog(tmp_path / "a", dataclasses.replace(DEPLOYMENT, chain_id=5))
    (tmp_path / "b").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(BadChainFile, match="move the file away"):
        EventLog(tmp_path / "b", DEPLOYMENT)


def test_a_real_chain_that_is_taken_back(consortium: Consortium) -> None:
    chain, connection = consortium.client(0), Connection(consortium.url)
    reader = chain.cursor()
    reader.look()
    chain.registry.set_url("http://kept")
    kept = reader.look().head
    snapshot = connection.request("evm_snapshot")
    chain.registry.set_url("http://lost")
    reader.look()
    connection.request("evm_revert", snapshot)
    connection.request("evm_increaseTime", 5)
    chain.registry.set_url("http://instead")
    chain.registry.set_url("http://more")
    news = reader.look()
    assert news.went_back == ChainWentBack(kept, kept + 1)
    assert [event.url for event in news.events if isinstance(event, UrlChanged)] == ["http://instead", "http://more"]
    assert list(reader.replay()) == chain.events(consortium.deployment.block)
