"""The events of the four contracts, read from logs (docs/spec/bundle.md, "Events")."""

import re

from common import demand
from primitives import keccak

EVENTS = """
HospitalAdmitted(uint256* index, address* account, bytes32 boxKey, uint32 dataSize, string name, string url)
HospitalRemoved(uint256* index, address* account)
KeysRotated(uint256* index, address* account, address* newAccount, bytes32 boxKey)
DataSizeChanged(uint256* index, address* account, uint32 dataSize)
CardRegistered(uint256* index, address* account, bytes32 digest)
EpochOpened(uint256* epoch, bytes32 parameterSet, uint8 threshold, uint64 deadline, address* opener)
CohortDrawn(uint256* epoch, bytes32 seed, uint256 holders)
Announced(uint256* epoch, address* member, bytes32 boxKey)
Committed(uint256* epoch, address* member, bytes32 commitment)
Dealt(uint256* epoch, address* member, bytes32 dealing)
Confirmed(uint256* epoch, address* member, bytes32 jointKey)
EpochActivated(uint256* epoch, bytes32 jointKey)
RefreshOpened(uint256* epoch, uint32 refresh, uint16 generation, uint64 deadline, address* opener)
RefreshActivated(uint256* epoch, uint32 refresh, uint16 generation)
RefreshAborted(uint256* epoch, uint32 refresh, uint256 complained)
RoundOpened(uint256* round, uint256 epoch, bytes32 plan, bytes32 base, bytes32 seed, address opener, uint256 collectBy, uint256 finaliseBy)
Proposed(uint256* round, address* leader, bytes32 proposal, bytes32 updatesRoot, bytes32 sumsRoot)
RoundFinalised(uint256* round, bytes32* model, address* leader, bytes32 base, bytes32 proposal, bytes32 statement, uint256 signers, bytes32 seed)
RoundAborted(uint256* round, bytes32 seed)
FaultRecorded(uint256* round, uint256* index, uint8 fault, bytes32 evidence, uint256 points, uint256 reputation)
FaultAnnulled(uint256* round, uint256* index, uint8 fault, uint256 points, uint256 reputation)
ModelRecorded(bytes32* model, bytes32* parent, uint256* round, bytes32 statement)
"""


def unhex(text):
    demand(text[:2] == "0x" and text == text.lower(), "not 0x and lower-case hex digits")
    return bytes.fromhex(text[2:])


def number(data):
    return int.from_bytes(data, "big")


def _events():
    table = {}
    for name, arguments in re.findall(r"(\w+)\((.*)\)", EVENTS):
        parts = [argument.split() for argument in arguments.split(", ")]
        signature = f"{name}({','.join(kind.rstrip('*') for kind, _ in parts)})"
        table[keccak(signature.encode())] = name, parts
    return table


TABLE = _events()


def word(kind, data):
    demand(len(data) == 32, "a word is cut off")
    return data if kind == "bytes32" else data[12:] if kind == "address" else number(data)


def decode(log):
    """Name and fields of an event of the table; None for another one."""
    if not log[1] or log[1][0] not in TABLE:
        return None
    name, parts = TABLE[log[1][0]]
    topics, data, at, fields = iter(log[1][1:]), log[2], 0, {}
    for kind, label in parts:
        if kind.endswith("*"):
            fields[label] = word(kind[:-1], next(topics, b""))
        else:
            fields[label] = None if kind == "string" else word(kind, data[at : at + 32])  # texts decide nothing
            at += 32
    return name, fields
