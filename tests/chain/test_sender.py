"""CHN-6: whatever the endpoint does, a transaction takes effect once or the caller is told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from chain.anvil import Anvil, dev_account, free_port
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import deploy
from chain.errors import ChainUnreachable, ContractReverted, TransactionLost
from chain.events import UrlChanged
from tests.chain.flaky import FlakyProxy
from tests.chain.support import Consortium, N, digest

if TYPE_CHECKING:
    from pathlib import Path

SEND = "eth_sendRawTransaction"


def urls(chain: Chain, start: int) -> list[str]:
    return [event.url for event in chain.events(start) if isinstance(event, UrlChanged)]


@pytest.mark.parametrize("fault", ["lost request", "lost answer", "half answer", "broken json", "busy"])
@pytest.mark.parametrize("method", [SEND, "eth_estimateGas", "eth_getTransactionCount", "eth_getTransactionReceipt"])
def test_takes_effect_once_despite(consortium: Consortium, method: str, fault: str) -> None:
    start = consortium.client().block_number() + 1
    with FlakyProxy(consortium.url, lambda seen, nth: fault if (seen, nth) == (method, 1) else None) as proxy:
        consortium.client(0, proxy.url).registry.set_url("http://once")
        assert proxy.count(method) >= 2
    assert urls(consortium.client(), start) == ["http://once"]


def test_the_same_bytes_are_sent_again(consortium: Consortium) -> None:
    with FlakyProxy(consortium.url, lambda seen, nth: "lost answer" if seen == SEND and nth < 4 else None) as proxy:
        consortium.client(0, proxy.url).registry.set_url("http://once")
        sent = [parameters[0] for method, parameters in proxy.seen if method == SEND]
    assert len(sent) == 4
    assert len(set(sent)) == 1


def test_no_answer_at_all(consortium: Consortium) -> None:
    chain = consortium.client(0, f"http://127.0.0.1:{free_port()}", attempts=2)
    for ask in (chain.verify, chain.now, lambda: chain.events(0), lambda: chain.registry.set_url("x")):
        with pytest.raises(ChainUnreachable, match="after 2 attempts"):
            ask()


def test_a_mute_endpoint_is_not_waited_for_for_ever(consortium: Consortium) -> None:
    with FlakyProxy(consortium.url, lambda *_: time.sleep(0.5)) as proxy, pytest.raises(ChainUnreachable):
        consortium.client(None, proxy.url, timeout=0.1, attempts=2).now()


def test_threads_share_an_account(consortium: Consortium) -> None:
    start = consortium.client().block_number() + 1
    with FlakyProxy(consortium.url, lambda *_: None) as proxy, ThreadPoolExecutor(8) as pool:
        chain = consortium.client(0, proxy.url)
        list(pool.map(lambda n: chain.registry.set_url(str(n)), range(24)))
        assert proxy.count(SEND) == 24, "no race for a nonce within one client"
    assert sorted(map(int, urls(consortium.client(), start))) == list(range(24))


def test_clients_share_an_account(consortium: Consortium) -> None:
    """As two processes would: each has a lock of its own, so they race for nonces."""
    clients = [consortium.client(0) for _ in range(3)]
    start = clients[0].block_number() + 1
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda n: clients[n % 3].registry.set_url(str(n)), range(12)))
    assert sorted(map(int, urls(clients[0], start))) == list(range(12))


def test_members_confirm_at_once(consortium: Consortium) -> None:
    """The confirmation that completes the quorum costs more than its estimate, made when it did not."""
    clients = [consortium.client(index) for index in range(N)]
    clients[0].epochs.open(digest("parameters"), 3, clients[0].now() + 1000)
    with ThreadPoolExecutor(N) as pool:
        list(pool.map(lambda k: clients[k].epochs.announce(1, digest(f"box {k}")), range(N)))
        for step in ("commit", "deal", "test", "confirm"):
            list(pool.map(lambda chain: getattr(chain.epochs, step)(1, digest(step)), clients))  # noqa: B023
    assert clients[0].epochs.active() == 1
    assert clients[0].epochs.get(1).confirmed == 0b1111


def test_lost_means_lost_and_is_said(consortium: Consortium) -> None:
    connection = Connection(consortium.url)
    connection.request("evm_setAutomine", False)
    try:
        with pytest.raises(TransactionLost, match="may still be mined"):
            consortium.client(0, patience=0.2).registry.set_url("http://waiting")
    finally:
        connection.request("evm_setAutomine", True)
        connection.request("anvil_dropAllTransactions")


def test_failing_after_the_estimate_is_explained(consortium: Consortium) -> None:
    """Two transactions of one block, the second of which the first makes impossible."""
    connection = Connection(consortium.url)
    both_estimated = threading.Barrier(2)

    def hold_sends(method: str, nth: int) -> None:
        if method == SEND and nth <= 2:
            both_estimated.wait(10)

    connection.request("evm_setAutomine", False)
    try:
        with FlakyProxy(consortium.url, hold_sends) as proxy, ThreadPoolExecutor(2) as pool:
            clients = [consortium.client(index, proxy.url) for index in range(2)]
            sent = [
                pool.submit(chain.rounds.genesis, digest(f"model {n}"), digest("plan"))
                for n, chain in enumerate(clients)
            ]
            deadline = time.monotonic() + 10
            while int(connection.request("txpool_status")["pending"], 16) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            connection.request("evm_mine")
            failures = [done.exception(10) for done in sent]
    finally:
        connection.request("evm_setAutomine", True)
    assert failures.count(None) == 1
    (failure,) = [failure for failure in failures if failure is not None]
    assert isinstance(failure, ContractReverted)
    assert failure.call == "TrainingRounds.genesis"


def test_the_endpoint_restarts_between_two_writes(consortium: Consortium, tmp_path: Path) -> None:
    anvil = Anvil(None, tmp_path / "state.json")
    with anvil:
        deployment = deploy(anvil.url, dev_account(0), digest("c"), consortium.hospitals)
        anvil.stop()
        chain = Chain(anvil.url, deployment, dev_account(0), attempts=8)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(chain.verify)
            time.sleep(0.3)
            anvil.start()
            reading.result(20)
        with pytest.raises(ContractReverted, match="RoundNotOpen"):
            chain.rounds.abort(1)
