"""A chain in memory that can be cut and grown otherwise, behind the parts of `Connection` that a cursor uses."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from chain.deployment import Deployment
from chain.errors import ChainUnreachable, RpcRefused

TOPIC = bytes(keccak(text="RoundAborted(uint256,bytes32)"))
DEPLOYMENT = Deployment(31337, bytes(32), *(f"0x{n:040x}" for n in range(1, 5)), block=1)


class SimConnection:
    """Blocks from 0; block n holds a RoundAborted for each number it was mined with. `most`: the longest range it reads."""

    def __init__(self, most: int = 10**9) -> None:
        self.blocks: list[tuple[bytes, tuple[int, ...]]] = [(bytes(32), ())]
        self.asked: list[tuple[int, int]] = []
        self.up, self.most, self.salt = True, most, 0
        self.during_logs = lambda: None
        self.w3 = SimpleNamespace(eth=SimpleNamespace(get_logs=self._logs))

    def mine(self, *rounds: int) -> None:
        self.salt += 1
        seed = self.blocks[-1][0] + self.salt.to_bytes(8, "big")
        self.blocks.append((hashlib.sha256(seed).digest(), rounds))

    def cut(self, blocks: int) -> None:
        del self.blocks[max(1, len(self.blocks) - blocks) :]

    def rounds(self) -> list[int]:
        return [number for _, rounds in self.blocks for number in rounds]

    def head(self) -> tuple[int, bytes]:
        if not self.up:
            raise ChainUnreachable("http://chain", 1, OSError())
        return len(self.blocks) - 1, self.blocks[-1][0]

    def block_hash(self, number: int) -> bytes | None:
        return self.blocks[number][0] if number < len(self.blocks) else None

    def run(self, _what: str, ask: Any) -> Any:
        return ask()

    def _logs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = query["fromBlock"], query["toBlock"]
        self.asked.append((first, last))
        if last - first + 1 > self.most:
            raise RpcRefused("eth_getLogs", f"at most {self.most} blocks")
        self.during_logs()
        return [
            {
                "blockNumber": number,
                "blockHash": self.blocks[number][0],
                "logIndex": place,
                "transactionHash": hashlib.sha256(self.blocks[number][0] + bytes([place])).digest(),
                "topics": [TOPIC, told.to_bytes(32, "big")],
                "data": encode(["bytes32"], [bytes(32)]),
            }
            for number in range(first, min(last, len(self.blocks) - 1) + 1)
            for place, told in enumerate(self.blocks[number][1])
        ]
