"""Ledger, chain and round records as JSON: digests in hex, transactions by CID, addresses checksummed."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address

from dag.ids import cid_of, tx_id_of
from node.errors import BadInput

if TYPE_CHECKING:
    from dag.transaction import Transaction
    from node.consortium.records import EpochView, ModelView, RoundView
    from node.consortium.view import ConsortiumView


def transaction_id(text: str) -> bytes:
    """A transaction id from its CID or 64 hex digits.

    Raises:
        BadInput: Neither.
    """
    if len(text) == 64:
        return digest(text)
    return tx_id_of(text)


def digest(text: str) -> bytes:
    """A 32-byte digest from hex, with or without 0x.

    Raises:
        BadInput: Not that.
    """
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:  # fromhex skips blanks, so the length alone tells
        raise BadInput(f"{text[:80]!r} is not a digest of 64 hex digits")
    return value


def plain(value: Any) -> Any:
    """A value of a record as JSON."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def transaction_json(tx: Transaction, view: ConsortiumView, *, confirmed: bool) -> dict[str, Any]:
    """One transaction."""
    issuer = tx.issuer if tx.parents else b""
    return {
        "id": cid_of(tx.id),
        "hex": tx.id.hex(),
        "kind": str(tx.kind),
        "round": tx.round,
        "epoch": tx.epoch,
        "sequence": tx.sequence,
        "issuer": to_checksum_address(issuer) if issuer else None,
        "hospital": _name(view, issuer),
        "parents": [cid_of(parent) for parent in tx.parents],
        "payload": tx.payload,
        "body": {field.name: plain(getattr(tx.body, field.name)) for field in fields(tx.body)},
        "signature": tx.signature.hex(),
        "confirmed": confirmed,
        "bytes": len(tx.raw),
    }


def _name(view: ConsortiumView, address: bytes) -> str | None:
    seat = view.seats.get(address)
    return None if seat is None else view.hospitals[seat].name


def members_json(view: ConsortiumView) -> list[dict[str, Any]]:
    """Every present member, by seat, with how it stands."""
    return [
        {
            "index": index,
            "name": h.name,
            "account": h.account,
            "url": h.url,
            "data_size": h.data_size,
            "box_key": h.box_key.hex(),
            "reputation": view.standing.reputations[index],
        }
        for index, h in view.present
    ]


def epoch_json(epoch: EpochView) -> dict[str, Any]:
    """A key epoch and its ceremony."""
    state = "running" if epoch.running else "active" if epoch.joint_key else "aborted"
    return {
        "epoch": epoch.epoch,
        "state": state,
        "threshold": epoch.threshold,
        "members": len(epoch.seats),
        "seats": list(epoch.seats),
        "parameter_set": epoch.parameter_set.hex(),
        "joint_key": epoch.joint_key.hex() if epoch.joint_key else None,
        "generation": epoch.generation,
        "refreshing": epoch.refreshing is not None,
        "announced": len(epoch.announcements),
        "committed": len(epoch.commitments),
        "dealt": len(epoch.dealings),
        "tested": len(epoch.reports),
        "confirmed": len(epoch.confirmations),
    }


def round_json(row: RoundView) -> dict[str, Any]:
    """A round as the chain tells it."""
    return {
        "round": row.round,
        "status": row.status,
        "epoch": row.epoch,
        "plan": row.plan.hex(),
        "base": row.base.hex(),
        "model": row.model.hex() if row.model else None,
        "seed": row.seed.hex(),
        "opener": row.opener,
        "leader": row.leader,
        "proposals": [
            {
                "leader": to_checksum_address(p.leader),
                "proposal": cid_of(p.proposal),
                "updates_root": p.updates_root.hex(),
                "sums_root": p.sums_root.hex(),
            }
            for p in row.proposals
        ],
        "statement": row.statement.hex() if row.statement else None,
        "signers": [i for i in range(256) if row.signers >> i & 1],
        "collect_by": row.collect_by,
        "finalise_by": row.finalise_by,
    }


def model_json(model: ModelView) -> dict[str, Any]:
    """A model of the lineage."""
    return {
        "model": model.model.hex(),
        "parent": model.parent.hex() if any(model.parent) else None,
        "round": model.round,
        "statement": model.statement.hex() if any(model.statement) else None,
        "block": model.block,
    }
