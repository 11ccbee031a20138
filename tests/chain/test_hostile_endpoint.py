"""An endpoint may answer anything: what comes of it is a typed error or a value of the promised type, never a crash."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from eth_account import Account
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chain.client import Chain
from chain.connection import Connection
from chain.errors import ChainError
from tests.chain.simchain import DEPLOYMENT
from tests.chain.support import digest

HASH = f"0x{'ab' * 32}"
BLOCK = {"number": "0x5", "hash": HASH, "timestamp": "0x10", "baseFeePerGas": "0x7", "parentHash": HASH}
RECEIPT = {"transactionHash": HASH, "blockNumber": "0x5", "gasUsed": "0x5", "status": "0x1", "contractAddress": None}
LOG = {
    "blockNumber": "0x2",
    "blockHash": HASH,
    "logIndex": "0x0",
    "transactionHash": HASH,
    "topics": [HASH],
    "data": "0x",
}
HONEST: dict[str, Any] = {
    "eth_chainId": "0x7a69",
    "eth_getBlockByNumber": BLOCK,
    "eth_getLogs": [LOG],
    "eth_getCode": "0x60",
    "eth_getTransactionReceipt": RECEIPT,
    "eth_getTransactionByHash": {"hash": HASH},
    "eth_getTransactionCount": "0x0",
    "eth_estimateGas": "0x5208",
    "eth_sendRawTransaction": HASH,
    "eth_call": "0x",
    "eth_getBalance": "0x0",
    "eth_gasPrice": "0x1",
}
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.text(max_size=8),
        st.sampled_from(["0x", "0x0", "0x1", "0xzz", HASH, f"0x{'ff' * 40}", "latest"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*BLOCK, *RECEIPT, *LOG]), inner, max_size=5)
    ),
    max_leaves=8,
)
CHANGED = st.one_of(
    VALUES.map(lambda value: lambda _honest: value),
    st.tuples(st.sampled_from([*BLOCK, *RECEIPT, *LOG]), VALUES).map(
        lambda change: lambda honest: _with(honest, *change)
    ),
)


def _with(honest: Any, field: str, value: Any) -> Any:
    if isinstance(honest, list):
        return [_with(entry, field, value) for entry in honest]
    return {**honest, field: value} if isinstance(honest, dict) else value


class Liar:
    """Answers as it should, except what `lie` says."""

    def __init__(self) -> None:
        self.method, self.lie = "", lambda honest: honest
        liar = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                honest = HONEST.get(call["method"])
                result = liar.lie(honest) if call["method"] == liar.method else honest
                body = json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    served = Liar()
    yield served
    served.server.shutdown()
    served.server.server_close()


ASKING: dict[str, Callable[[Chain, Connection], Any]] = {
    "head": lambda _, c: c.head(),
    "block hash": lambda _, c: c.block_hash(5),
    "chain id": lambda _, c: c.chain_id(),
    "code": lambda _, c: c.code(DEPLOYMENT.rounds),
    "receipt": lambda _, c: c.receipt(bytes(32)),
    "knows": lambda _, c: c.knows(bytes(32)),
    "now": lambda chain, _: chain.now(),
    "events": lambda chain, _: chain.events(0),
    "look": lambda chain, _: chain.cursor().look(),
    "balance": lambda chain, _: chain.balance(DEPLOYMENT.rounds),
    "call": lambda chain, _: chain.rounds.current(),
    "send": lambda chain, _: chain.registry.set_url("http://x"),
    "verify": lambda chain, _: chain.verify(),
}
USED = {
    "look": ["eth_getBlockByNumber", "eth_getLogs"],
    "send": [
        *("eth_getBlockByNumber", "eth_getTransactionCount", "eth_estimateGas", "eth_sendRawTransaction"),
        *("eth_getTransactionReceipt", "eth_getTransactionByHash"),
    ],
}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(asked=st.sampled_from(list(ASKING)), which=st.integers(0, 9), lie=CHANGED)
def test_no_answer_crashes_the_client(liar: Liar, asked: str, which: int, lie: Callable[[Any], Any]) -> None:
    methods = USED.get(asked, list(HONEST))
    liar.method, liar.lie = methods[which % len(methods)], lie
    account = Account.from_key(digest("member"))
    options = {"timeout": 2.0, "attempts": 1, "patience": 0.05}
    chain, connection = Chain(liar.url, DEPLOYMENT, account, **options), Connection(liar.url, 2.0, 1)
    with suppress(ChainError):
        ASKING[asked](chain, connection)
