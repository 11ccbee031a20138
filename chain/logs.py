"""Reading logs in bounded ranges of blocks, smaller ones where the endpoint refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chain.errors import MalformedAnswer, RpcRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chain.connection import Connection

RANGE_BLOCKS = 10_000
"""Blocks asked for at once, at most; hosted endpoints allow between 500 and 10,000 for ``eth_getLogs``."""

MAX_TOPICS = 4
MAX_DATA_BYTES = 65_536
"""No event of the contracts has 1 KiB; what is larger is none of theirs."""


@dataclass(frozen=True)
class Log:
    """One entry of an ``eth_getLogs`` answer, checked for form.

    Attributes:
        block: The block's number.
        block_hash: The block's hash, 32 bytes.
        log_index: Its place among the block's logs.
        tx: The transaction's hash, 32 bytes.
        topics: At most four of 32 bytes; the first names the event.
        data: The arguments that are no topics, ABI-encoded.
    """

    block: int
    block_hash: bytes
    log_index: int
    tx: bytes
    topics: tuple[bytes, ...]
    data: bytes

    def as_rpc(self) -> dict[str, Any]:
        """The entry under JSON-RPC's names, for ``chain.events.decode_log``."""
        return {
            "blockNumber": self.block,
            "logIndex": self.log_index,
            "transactionHash": self.tx,
            "topics": self.topics,
            "data": self.data,
        }


def read_logs(
    connection: Connection, addresses: Sequence[str], first: int, last: int, most: int = RANGE_BLOCKS
) -> Iterator[tuple[int, tuple[Log, ...]]]:
    """Reads the logs of some contracts, range after range.

    A range the endpoint refuses is halved; after an answer the next one is twice as long again.

    Args:
        connection: The endpoint.
        addresses: The contracts, checksummed hex.
        first: The first block.
        last: The last block, inclusive.
        most: Blocks in a range, at most.

    Yields:
        The last block of each range, and the range's logs in the chain's order.

    Raises:
        RpcRefused: If the endpoint refuses even a single block.
        MalformedAnswer: If a log has not the form of one, or was not asked for.
        ChainUnreachable: If the endpoint does not answer.
    """
    length = most
    while first <= last:
        end = min(last, first + length - 1)
        try:
            logs = _ask(connection, addresses, first, end)
        except RpcRefused:
            if end == first:
                raise
            length = max(1, (end - first + 1) // 2)
            continue
        yield end, logs
        first, length = end + 1, min(most, 2 * length)


def _ask(connection: Connection, addresses: Sequence[str], first: int, last: int) -> tuple[Log, ...]:
    query: Any = {"fromBlock": first, "toBlock": last, "address": list(addresses)}
    answer = connection.run("eth_getLogs", lambda: connection.w3.eth.get_logs(query))
    logs = sorted((_checked(entry, first, last) for entry in answer), key=lambda log: (log.block, log.log_index))
    places = {(log.block, log.log_index) for log in logs}
    if len(places) != len(logs):
        raise MalformedAnswer(f"eth_getLogs, blocks {first} to {last}: two logs at one place")
    return tuple(logs)


def _checked(entry: Any, first: int, last: int) -> Log:
    where = f"eth_getLogs, blocks {first} to {last}"
    try:
        log = Log(
            int(entry["blockNumber"]),
            bytes(entry["blockHash"]),
            int(entry["logIndex"]),
            bytes(entry["transactionHash"]),
            tuple(bytes(topic) for topic in entry["topics"]),
            bytes(entry["data"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MalformedAnswer(f"{where}: {type(error).__name__}: {error}") from error
    hashes = {len(log.block_hash), len(log.tx), *map(len, log.topics)}
    if not first <= log.block <= last or not 0 <= log.log_index < 2**31:
        raise MalformedAnswer(f"{where}: a log of block {log.block}, number {log.log_index}")
    if hashes != {32} or len(log.topics) > MAX_TOPICS or len(log.data) > MAX_DATA_BYTES:
        raise MalformedAnswer(f"{where}: a log whose hashes, topics or data have no possible length")
    return log
