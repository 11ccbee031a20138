"""The compiled contracts as they are checked in: what a node needs to talk to them and to recognise them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

CONTRACTS = ("HospitalRegistry", "KeyEpochs", "TrainingRounds", "ModelLedger")
"""The names of the contracts of one deployment."""


@dataclass(frozen=True)
class Artifact:
    """One compiled contract.

    Attributes:
        name: The contract's name.
        abi: Its interface, as Solidity's JSON ABI.
        bytecode: What deploys it, without constructor arguments.
        runtime: What lies at its address; immutable values are zero here.
        immutables: Where in ``runtime`` immutable values go, as (start, length) in bytes.
        notices: What each custom error means, by signature, from the interface's NatSpec.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    runtime: bytes
    immutables: tuple[tuple[int, int], ...]
    notices: dict[str, str]

    def matches(self, code: bytes) -> bool:
        """Whether code found on a chain is this contract's, whatever its immutable values.

        Args:
            code: What ``eth_getCode`` returned.
        """
        if len(code) != len(self.runtime):
            return False
        masked = bytearray(code)
        for start, length in self.immutables:
            masked[start : start + length] = bytes(length)
        return bytes(masked) == self.runtime


@cache
def load(name: str) -> Artifact:
    """Reads a contract's artefact.

    Args:
        name: One of ``CONTRACTS``.
    """
    record = json.loads(files("chain").joinpath("artifacts", f"{name}.json").read_text("utf-8"))
    errors = record["metadata"]["output"]["userdoc"].get("errors", {})
    return Artifact(
        name=name,
        abi=record["abi"],
        bytecode=bytes.fromhex(record["bytecode"]),
        runtime=bytes.fromhex(record["runtime"]),
        immutables=tuple((start, length) for start, length in record["immutables"]),
        notices={signature: texts[0]["notice"] for signature, texts in errors.items()},
    )
