"""CHN-6: what is to be sent is on disk first, takes effect once, and comes back when the chain loses it."""

from __future__ import annotations

import random
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account

from chain import outbox
from chain.anvil import dev_account
from chain.connection import Connection
from chain.errors import BadChainFile, ChainUnreachable, ContractReverted, FeeTooHigh, TransactionLost
from chain.events import ModelRecorded, UrlChanged
from chain.fees import GWEI, Fee, raised
from chain.intents import IntentBook, State
from chain.sender import Sender
from tests.chain.flaky import FlakyProxy
from tests.chain.support import Consortium, digest

if TYPE_CHECKING:
    from pathlib import Path

    from chain.client import Chain
    from chain.intents import Intent

SEND = "eth_sendRawTransaction"


@pytest.fixture
def connection(consortium: Consortium) -> Connection:
    return Connection(consortium.url)


def look_after(chain: Chain, ancestor: int | None = None) -> None:
    sender = chain._sender
    assert sender is not None
    sender._outbox._tended.clear()
    sender.watch(chain.block_number(), ancestor)
    await_mining(sender._connection)


def await_mining(connection: Connection) -> None:
    """Anvil answers a send a moment before it mines."""
    deadline = time.monotonic() + 5
    while connection.request("anvil_getAutomine") and int(connection.request("txpool_status")["pending"], 16):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def intents(chain: Chain) -> list[Intent]:
    assert chain._sender is not None
    book = chain._sender._outbox.book
    count = book._db.execute("SELECT count(*) FROM intents").fetchone()[0]
    return [book.get(number) for number in range(1, count + 1)]


def urls(chain: Chain, start: int) -> list[str]:
    return [event.url for event in chain.events(start) if isinstance(event, UrlChanged)]


def nonces(connection: Connection, address: str) -> tuple[int, int]:
    eth = connection.w3.eth
    return eth.get_transaction_count(address, "latest"), eth.get_transaction_count(address, "pending")


class Switch:
    """Sends get lost while it is on."""

    on = True

    def __call__(self, method: str, _nth: int) -> str | None:
        return "lost request" if self.on and method == SEND else None


def test_it_is_on_disk_before_it_is_sent_and_the_next_process_sends_it(consortium: Consortium, tmp_path: Path) -> None:
    file, start = tmp_path / "intents.sqlite", consortium.client().block_number() + 1
    with FlakyProxy(consortium.url, Switch()) as proxy:
        chain = consortium.client(0, proxy.url, attempts=1, book=IntentBook(file))
        with pytest.raises(ChainUnreachable):
            chain.registry.set_url("http://once")
    (intent,) = intents(chain)
    assert (intent.state, intent.call.what, len(intent.copies)) == (State.OPEN, "HospitalRegistry.setUrl", 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    chain = consortium.client(0, book=IntentBook(file))
    assert urls(chain, start) == []
    look_after(chain)
    assert urls(chain, start) == ["http://once"]
    look_after(chain)
    (done,) = intents(chain)
    assert (done.state, done.succeeded, done.copies) == (State.MINED, True, intent.copies), "the very same bytes"


def test_the_same_call_after_a_restart_waits_for_the_first_one(
    consortium: Consortium, connection: Connection, tmp_path: Path
) -> None:
    start = consortium.client().block_number() + 1
    connection.request("evm_setAutomine", False)
    try:
        with pytest.raises(TransactionLost):
            consortium.client(0, patience=0.1, book=IntentBook(tmp_path / "a")).registry.set_url("http://once")
    finally:
        connection.request("evm_setAutomine", True)
    connection.request("evm_mine")
    again = consortium.client(0, book=IntentBook(tmp_path / "a"))
    again.registry.set_url("http://once")
    assert urls(again, start) == ["http://once"]
    again.registry.set_url("http://once")
    assert urls(again, start) == ["http://once"] * 2, "a call that is done may be meant again"


def test_a_key_is_for_good(consortium: Consortium, tmp_path: Path) -> None:
    receiver, member = Account.create().address, consortium.accounts[0]
    for _ in range(3):
        sender = Sender(Connection(consortium.url), member, 31337, book=IntentBook(tmp_path / "a"))
        receipts = [sender.send("fund", receiver, value=7, key="fund the new one") for _ in range(2)]
        assert receipts[0] == receipts[1]
    assert consortium.client().balance(receiver) == 7


def test_what_the_chain_took_back_is_sent_again(consortium: Consortium, connection: Connection) -> None:
    chain = consortium.client(0)
    before, snapshot = chain.block_number(), connection.request("evm_snapshot")
    chain.registry.set_url("http://a")
    chain.registry.set_url("http://b")
    connection.request("evm_revert", snapshot)
    assert urls(chain, before + 1) == []
    look_after(chain, before)
    assert urls(chain, before + 1) == ["http://a", "http://b"], "in the order in which they were meant"
    look_after(chain)
    assert [(intent.state, len(intent.copies)) for intent in intents(chain)] == [(State.MINED, 1)] * 2


def test_what_nobody_noticed_is_found_all_the_same(consortium: Consortium, connection: Connection) -> None:
    """The chain goes back and grows past its old height before anybody looks."""
    chain, other = consortium.client(0), consortium.client(1)
    snapshot = connection.request("evm_snapshot")
    start = chain.registry.set_url("http://a").block
    connection.request("evm_revert", snapshot)
    for number in range(3):
        other.registry.set_url(f"http://other/{number}")
    look_after(chain)
    assert "http://a" in urls(chain, start)


def test_what_another_did_meanwhile_is_given_up(
    consortium: Consortium, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium.activate_epoch()
    first, second = consortium.client(0), consortium.client(1)
    before, snapshot = first.block_number(), connection.request("evm_snapshot")
    first.rounds.genesis(digest("model"), digest("plan"))
    connection.request("evm_revert", snapshot)
    second.rounds.genesis(digest("model"), digest("plan"))
    look_after(first, before)
    assert intents(first)[0].state is State.OPEN, "others' transactions may be missing too: it waits a little"
    monkeypatch.setattr(outbox, "SETTLE_SECONDS", 0.0)
    look_after(first)
    assert (intents(first)[0].state, "GenesisExists" in intents(first)[0].note) == (State.VOID, True)
    assert len([e for e in first.events(before) if isinstance(e, ModelRecorded)]) == 1
    mined, pending = nonces(connection, consortium.accounts[0].address)
    assert mined == pending
    with pytest.raises(ContractReverted, match="GenesisExists"):
        first.rounds.genesis(digest("model"), digest("plan"))


def test_who_waits_for_what_is_given_up_is_told_why(
    consortium: Consortium, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium.activate_epoch()
    monkeypatch.setattr(outbox, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("chain.sender._TEND_SECONDS", 0.05)
    switch = Switch()
    with FlakyProxy(consortium.url, switch) as proxy:
        late = consortium.client(0, proxy.url, attempts=1)
        with pytest.raises(ChainUnreachable):
            late.rounds.genesis(digest("model"), digest("plan"))
        switch.on = False
        consortium.client(1).rounds.genesis(digest("model"), digest("plan"))
        with pytest.raises(ContractReverted, match="GenesisExists"):
            late.rounds.genesis(digest("model"), digest("plan"))


def test_a_nonce_another_program_used_means_another_signature(consortium: Consortium, connection: Connection) -> None:
    chain = consortium.client(0)
    before, snapshot = chain.block_number(), connection.request("evm_snapshot")
    chain.registry.set_url("http://first")
    connection.request("evm_revert", snapshot)
    consortium.client(0).registry.set_url("http://second")
    look_after(chain, before)
    assert urls(chain, before + 1) == ["http://second", "http://first"]
    copies = intents(chain)[0].copies
    assert [copy.nonce - copies[0].nonce for copy in copies] == [0, 1]


def test_a_gap_nobody_can_fill_is_filled_with_an_empty_transaction(
    consortium: Consortium, connection: Connection
) -> None:
    """Two programs share an account; the chain loses both their transactions, and one of the programs is gone."""
    account = consortium.accounts[0].address
    chain, gone = consortium.client(0), consortium.client(0)
    before, snapshot = chain.block_number(), connection.request("evm_snapshot")
    first, _ = nonces(connection, account)
    gone.registry.set_url("http://gone")
    chain.registry.set_url("http://kept")
    connection.request("evm_revert", snapshot)
    look_after(chain, before)
    assert urls(chain, before + 1) == ["http://kept"]
    assert nonces(connection, account) == (first + 2, first + 2)


def test_one_that_waits_too_long_is_replaced_by_one_that_pays_more(
    consortium: Consortium, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = consortium.client().block_number() + 1
    connection.request("evm_setAutomine", False)
    chain = consortium.client(0, patience=0.1)
    try:
        with pytest.raises(TransactionLost):
            chain.registry.set_url("http://slow")
        look_after(chain)
        assert len(intents(chain)[0].copies) == 1
        monkeypatch.setattr(outbox, "STUCK_SECONDS", 0.0)
        look_after(chain)
        look_after(chain)
        first, second, third = intents(chain)[0].copies
        assert first.nonce == second.nonce == third.nonce
        assert second.max_fee * 8 >= first.max_fee * 9
        assert third.tip * 8 >= second.tip * 9
        connection.request("evm_mine")
        connection.request("evm_mine")
    finally:
        connection.request("evm_setAutomine", True)
    look_after(chain)
    assert urls(chain, start) == ["http://slow"]
    assert intents(chain)[0].state is State.MINED


def test_nobody_pays_more_than_the_cap(consortium: Consortium, connection: Connection) -> None:
    with pytest.raises(FeeTooHigh, match=r"at most 0\.5 are allowed"):
        consortium.client(0, fee_cap=GWEI // 2).registry.set_url("http://dear")
    assert raised(Fee(100, 10), Fee(50, 5), cap=113) == Fee(113, 12)
    assert raised(Fee(100, 10), Fee(50, 5), cap=112) is None
    assert raised(Fee(100, 10), Fee(400, 20), cap=1000) == Fee(400, 20)
    assert raised(Fee(100, 0, dynamic=False), Fee(90, 0, dynamic=False), cap=1000) == Fee(113, 0, dynamic=False)


def test_what_is_deep_enough_is_final(consortium: Consortium, connection: Connection) -> None:
    chain = consortium.client(0, finality=5)
    chain.registry.set_url("http://a")
    connection.request("anvil_mine", hex(4))
    look_after(chain)
    assert intents(chain)[0].state is State.MINED
    connection.request("anvil_mine", hex(1))
    look_after(chain)
    assert intents(chain)[0].state is State.FINAL
    assert chain._sender is not None
    assert not chain._sender._outbox._seen


def test_a_failure_the_chain_took_back_is_not_repeated(consortium: Consortium, connection: Connection) -> None:
    chain, other = consortium.client(0), consortium.client(1)
    consortium.activate_epoch()
    before, snapshot = chain.block_number(), connection.request("evm_snapshot")
    sender = chain._sender
    assert sender is not None
    sender._outbox.estimate = lambda _call: 200_000  # type: ignore[method-assign]
    other.rounds.genesis(digest("model"), digest("plan"))
    with pytest.raises(ContractReverted, match="GenesisExists"):
        chain.rounds.genesis(digest("other model"), digest("plan"))
    connection.request("evm_revert", snapshot)
    look_after(chain, before)
    assert intents(chain)[0].state is State.VOID
    assert chain.block_number() == before


def test_rubbish_is_no_book(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"rubbish" * 1000)
    with pytest.raises(BadChainFile, match="move the file away"):
        IntentBook(tmp_path / "a")


def test_signed_bytes_are_not_shown(consortium: Consortium) -> None:
    chain = consortium.client(0)
    chain.registry.set_url("http://a")
    (intent,) = intents(chain)
    assert intent.copies[0].raw.hex() not in repr(intent)
    assert repr(intent.copies[0].raw) not in repr(intent)


@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 30))])
def test_every_payment_arrives_once_whatever_happens(consortium: Consortium, tmp_path: Path, seed: int) -> None:
    """Payments are the calls no contract protects. Sends get lost, the chain goes back, the program dies and starts again."""
    chance, connection = random.Random(seed), Connection(consortium.url)
    payer, receivers = dev_account(3 + seed % 3), [Account.create().address for _ in range(8)]
    switch, snapshots, due = Switch(), [connection.request("evm_snapshot")], list(range(8))
    with FlakyProxy(consortium.url, switch) as proxy:

        def program() -> Sender:
            return Sender(Connection(proxy.url, attempts=1), payer, 31337, 0.2, IntentBook(tmp_path / "book"))

        sender = program()

        def pay(number: int) -> None:
            try:
                sender.send("pay", receivers[number], value=1, key=f"pay {number}")
            except (ChainUnreachable, TransactionLost):
                due.append(number)

        while due:
            switch.on = chance.random() < 0.3
            pay(due.pop(0))
            happens = chance.random()
            if happens < 0.2:
                snapshots.append(connection.request("evm_snapshot"))
            elif happens < 0.5 and snapshots:
                back = chance.randrange(len(snapshots))
                connection.request("evm_revert", snapshots[back])
                del snapshots[back:]
                ancestor = int(connection.block()["number"])
                switch.on = False
                sender.watch(ancestor, ancestor)
            elif happens < 0.7:
                sender = program()
        switch.on = False
        for _ in range(3):
            sender._outbox._tended.clear()
            sender.watch(int(connection.block()["number"]))
            await_mining(connection)
        assert [connection.w3.eth.get_balance(receiver) for receiver in receivers] == [1] * 8
        mined, pending = nonces(connection, payer.address)
        assert mined == pending
        states: list[Any] = [intent.state for intent in sender._outbox.book.unresolved(payer.address, 31337)]
        assert set(states) <= {State.MINED}
