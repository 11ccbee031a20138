"""A chain's history proven by blocks: whole against one block hash, and made by these very contracts."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import rlp
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.crypto import keccak

from chain.artifact import load
from chain.errors import MalformedAnswer
from chain.events import Event, decode_log
from chain.records import ModelRecord
from node.audit.bundle.blocks import Block, read_receipt, transaction_fields
from node.audit.calls import decode_finalise, decode_genesis
from node.audit.errors import MalformedBlock, UnseenCreation
from node.audit.history import verify_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chain.deployment import Deployment
    from chain.events import ModelRecorded

_TO_AND_DATA: Final = {0: (3, 5), 1: (4, 6), 2: (5, 7), 3: (5, 7), 4: (5, 7)}
"""Where receiver and calldata stand among a transaction's fields, by type (EIP-2930, 1559, 4844, 7702)."""
_NO_ADDRESS: Final = "0x" + 40 * "0"


class ProvenHistory:
    """What blocks say of one deployment's contracts.

    Args:
        deployment: Where the contracts are; the blocks begin with its first one.
        blocks: Every block from there to the head, in order.
    """

    proven = True

    def __init__(self, deployment: Deployment, blocks: Sequence[Block]) -> None:
        self.deployment = deployment
        self.blocks = tuple(blocks)
        self._addresses = {bytes.fromhex(a[2:]): name for name, a in deployment.addresses.items()}

    @property
    def head(self) -> bytes:
        """Hash (32 bytes) of the last block.

        Raises:
            MalformedBlock: There is none, or its header is malformed.
        """
        if not self.blocks:
            raise MalformedBlock("chain", "there are no blocks")
        return self.blocks[-1].header.hash

    def verify(self) -> None:
        """The blocks follow each other, leave nothing of these contracts out, and made exactly these contracts.

        Raises:
            MalformedBlock: Naming the first block that is wrong.
            UnseenCreation: A contract was not created by a transaction in them.
        """
        before: Block | None = None
        for place, block in enumerate(self.blocks):
            number = self.deployment.block + place
            if block.header.number != number:
                raise MalformedBlock(f"block {number}", f"in its place stands block {block.header.number}")
            if before is not None and block.header.parent != before.header.hash:
                raise MalformedBlock(f"block {number}", f"its parent is not block {number - 1} of this file")
            if block.transactions is not None or any(map(block.header.may_concern, self._addresses)):
                block.verify_body()
            before = block
        self._verify_contracts()

    def events(self) -> Sequence[Event]:
        """Everything the contracts emitted, in order.

        Raises:
            MalformedBlock: A receipt is malformed.
            MalformedAnswer: An event does not follow the ABI.
        """
        return tuple(event for block in self.blocks for event in self._events_of(block))

    def calldata(self, tx: bytes) -> bytes:
        """What a transaction sent to TrainingRounds.

        Raises:
            MalformedAnswer: It is not in the blocks, or it called another contract.
        """
        name = f"transaction 0x{tx.hex()}"
        if tx not in self._transactions:
            raise MalformedAnswer(f"{name}: the blocks do not hold it")
        kind, fields = transaction_fields(self._transactions[tx][0])
        if kind not in _TO_AND_DATA:
            raise MalformedAnswer(f"{name}: it is of type {kind}, which this software does not know")
        target, data = (fields[at] for at in _TO_AND_DATA[kind])
        verify_target(name, target, self.deployment)
        return bytes(data)

    def record(self, event: ModelRecorded) -> ModelRecord | None:
        """What the transaction that recorded a model says of it; None where it called another contract."""
        try:
            data = self.calldata(event.tx)
            if event.round == 0:
                return self._genesis(event, decode_genesis(data))
            outcome = decode_finalise(data).outcome
        except MalformedAnswer:
            return None
        return ModelRecord(
            parent=outcome.base,
            plan=outcome.plan,
            updates_root=outcome.updates_root,
            sums_root=outcome.sums_root,
            proposal=outcome.proposal,
            statement=outcome.statement,
            leader=outcome.leader,
            round=outcome.round,
            timestamp=self._transactions[event.tx][1].header.timestamp,
        )

    def _genesis(self, event: ModelRecorded, plan: bytes) -> ModelRecord:
        none = bytes(32)
        time = self._transactions[event.tx][1].header.timestamp
        return ModelRecord(none, plan, none, none, none, none, _NO_ADDRESS, 0, time)

    @cached_property
    def _transactions(self) -> dict[bytes, tuple[bytes, Block]]:
        """Every transaction carried, with its block, by hash."""
        return {bytes(keccak(raw)): (raw, block) for block in self.blocks for raw in block.transactions or ()}

    def _events_of(self, block: Block) -> Iterator[Event]:
        index = 0
        for raw, receipt in zip(block.transactions or (), block.receipts or (), strict=True):
            for log in read_receipt(receipt)[1]:
                known = log.address in self._addresses and log.topics
                place = {"blockNumber": block.header.number, "logIndex": index, "transactionHash": keccak(raw)}
                event = decode_log({"topics": log.topics, "data": log.data, **place}) if known else None
                index += 1
                if event is not None:
                    yield event

    def _verify_contracts(self) -> None:
        """The four contracts were created in these blocks, from the artefacts' code, and know each other."""
        made = {address: found for block in self.blocks for address, found in _creations(block)}
        here = self.deployment
        arguments = {
            "HospitalRegistry": here.consortium,
            "KeyEpochs": encode(["address"] * 2, [here.registry, here.rounds]),
            "ModelLedger": encode(["address"], [here.rounds]),
            "TrainingRounds": encode(["address"] * 3, [here.registry, here.epochs, here.models]),
        }
        for address, name in self._addresses.items():
            where = f"{name} at 0x{address.hex()}"
            if address not in made:
                raise UnseenCreation(where)
            number, chain_id, data = made[address]
            code = load(name).bytecode
            if data[: len(code)] != code:
                raise MalformedBlock(where, "it was created from other code than this software's")
            given = data[len(code) :]
            if given[: len(arguments[name])] != arguments[name] or (name != "HospitalRegistry" and len(given) % 32):
                raise MalformedBlock(where, "it was created with other arguments than the deployment record's")
            if chain_id != here.chain_id:
                raise MalformedBlock(where, f"it was created on chain {chain_id}, not {here.chain_id}")
            if name == "HospitalRegistry" and number != here.block:
                raise MalformedBlock(
                    where, f"it was created in block {number}, the deployment record says {here.block}"
                )


def _creations(block: Block) -> Iterator[tuple[bytes, tuple[int, int, bytes]]]:
    """Contracts that successful transactions of type 2 in a block created: address, and (block, chain id, data)."""
    for raw, receipt in zip(block.transactions or (), block.receipts or (), strict=True):
        if raw[:1] != b"\x02":
            continue
        _, fields = transaction_fields(raw)
        if len(fields) != 12 or fields[5] or not read_receipt(receipt)[0]:
            continue
        try:
            sender = bytes.fromhex(Account.recover_transaction(raw)[2:])
        except Exception as error:  # noqa: BLE001  (the library raises whatever its decoders do)
            raise MalformedBlock(f"block {block.header.number}", f"a transaction has no sender: {error}") from None
        nonce = int.from_bytes(fields[1], "big")
        address = bytes(keccak(rlp.encode([sender, nonce])))[-20:]
        yield address, (block.header.number, int.from_bytes(fields[0], "big"), bytes(fields[7]))
