"""Writing a bundle: the chain's blocks from an endpoint, and every blob that an audit of them reads."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from node.audit.bundle.blocks import Block, header_rlp, receipt_bytes
from node.audit.bundle.form import MANIFEST, MODEL, Manifest, writing
from node.audit.bundle.history import ProvenHistory
from node.audit.errors import MalformedBlock
from node.audit.run import audit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from chain.client import Chain
    from chain.connection import Connection
    from node.audit.evidence import Evidence
    from node.audit.report import Report
    from node.audit.run import Progress
    from node.images.card import DataCard


@dataclass(frozen=True)
class Exported:
    """What was written."""

    manifest: Manifest
    blocks: int
    entries: int
    """Blobs and envelopes."""
    size: int
    """Bytes of the file."""
    report: Report
    """The audit that read what was written."""


def export(
    chain: Chain,
    evidence: Evidence,
    model: bytes | None,
    out: Path,
    *,
    model_file: bytes | None = None,
    cards: Sequence[DataCard] = (),
    progress: Progress | None = None,
) -> Exported:
    """Audit a model and write all that the audit read into one file.

    The file is written even if the audit finds faults: then it holds what shows them.

    Args:
        chain: A client that only reads.
        evidence: Where blobs come from.
        model: Hash of the model; None for the newest one.
        out: The file.
        model_file: The model's file, to be put in as well.
        cards: Data cards that hospitals show, to be put in as well where a round's check reads them.
        progress: Told (what is being done, steps done, steps in all).

    Raises:
        ChainError: The endpoint does not answer, or serves something else than the deployment.
        MalformedBlock: The endpoint's blocks cannot prove anything, such as headers of an unknown form.
        BadBundle: The file cannot be written.
    """
    chain.verify()
    blocks = read_blocks(chain, progress)
    history = ProvenHistory(chain.deployment, blocks)
    software = f"medweave {version('medweave')}"
    manifest = Manifest(chain.deployment, blocks[-1].header.number, history.head, model, software)
    with writing(out) as writer:
        writer.put(MANIFEST, manifest.to_bytes())
        writer.put_blocks(blocks)
        report = audit(
            history, evidence, model, model_file=model_file, cards=cards, progress=progress, keep=writer.put_once
        )
        if model_file is not None:
            writer.put(MODEL, model_file)
    return Exported(manifest, len(blocks), writer.kept, out.stat().st_size, report)


def read_blocks(chain: Chain, progress: Progress | None = None) -> Sequence[Block]:
    """Every block from the deployment's first to the newest; with its content where that may concern the contracts.

    Raises:
        ChainError: The endpoint does not answer.
        MalformedBlock: A header's fields do not make up its hash.
    """
    connection = chain.rounds._connection  # noqa: SLF001  (read-only; the client has no public way to raw blocks)
    addresses = [bytes.fromhex(address[2:]) for address in chain.deployment.addresses.values()]
    first, last = chain.deployment.block, chain.block_number()
    blocks = []
    for number in range(first, last + 1):
        if progress is not None:
            progress("reading blocks", number - first, last - first + 1)
        blocks.append(_read_block(connection, number, addresses))
    return blocks


def _read_block(connection: Connection, number: int, addresses: Sequence[bytes]) -> Block:
    answer = connection.request("eth_getBlockByNumber", hex(number), True)
    if not answer:
        raise MalformedBlock(
            f"block {number}", "the endpoint does not have it any more: its chain went back; try again"
        )
    block = Block(header_rlp(answer))
    creates = any(not transaction.get("to") for transaction in answer["transactions"])
    if not creates and not any(map(block.header.may_concern, addresses)):
        return block
    raws = [connection.request("eth_getRawTransactionByHash", _hash(t["hash"])) for t in answer["transactions"]]
    receipts = connection.request("eth_getBlockReceipts", hex(number))
    return Block(block.header_rlp, tuple(_bytes(raw) for raw in raws), tuple(receipt_bytes(r) for r in receipts or ()))


def _hash(value: Any) -> str:
    return value if isinstance(value, str) else f"0x{bytes(value).hex()}"


def _bytes(value: Any) -> bytes:
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
