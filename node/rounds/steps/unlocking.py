"""Between collecting and proposing: unlock revealed updates and tell real ciphertexts from garbage."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.locking import UpdateLock
from node.errors import LyingPeer, RoundProblem
from node.rounds.records import UpdateManifest
from node.rounds.state import Unlocked
from node.sealing.updates import LockedUpdate, verify_update

if TYPE_CHECKING:
    from node.rounds.ports import Ports
    from node.rounds.state import Event, RoundState, UpdateSeen

log = logging.getLogger("medweave.rounds")


def unlock(ports: Ports, state: RoundState, update: bytes) -> tuple[Event, ...]:
    """Look at a revealed update's ciphertexts; what is wrong with them is remembered with who locked it.

    Raises:
        LyingPeer: The update is not in this ledger.
        StorageError: Its blobs cannot be had yet.
    """
    problem = problem_of(ports, state, update)
    if problem:
        number, issuer = state.facts.round, seen_update(state, update).issuer
        reveal = next(tx_id for tx_id, member, _ in state.reveals if member == issuer)
        found = {"member": issuer, "update": update.hex(), "reveal": reveal.hex(), "problem": problem}
        others = [row for row in ports.journal.recall(number, "left_out") or [] if row["update"] != update.hex()]
        ports.journal.remember(number, "left_out", [*others, found])
    return (Unlocked(update, problem),)


def problem_of(ports: Ports, state: RoundState, update: bytes) -> str:
    """What is wrong with an update's unlocked ciphertexts; empty where nothing is.

    The update's transaction fixes its locked bytes and, by the commitment, the one secret that opens them. So every member
    says the same of it, and what is malformed can be left out by all.
    """
    if update not in ports.unlocked:
        ports.unlocked[update] = _problem(ports, state, update)
    return ports.unlocked[update]


def _problem(ports: Ports, state: RoundState, update: bytes) -> str:
    seen = seen_update(state, update)
    locked = locked_update(ports, state, seen)
    try:
        verify_update(locked, ports.keys.joint.params, ports.blobs)
    except CryptoError as error:
        log.warning(
            "round %d: update %s… of member %d is left out, what it locked is no update: %s",
            state.facts.round,
            update.hex()[:16],
            seen.issuer,
            error,
        )
        return str(error)
    return ""


def locked_update(ports: Ports, state: RoundState, seen: UpdateSeen) -> LockedUpdate:
    """A revealed update, ready to be read.

    Raises:
        RoundProblem: Its issuer's reveal has not arrived yet; ask again.
    """
    manifest = UpdateManifest.from_bytes(ports.blobs.obtain(seen.manifest))
    reveal = next((value for _, member, value in state.reveals if member == seen.issuer), None)
    if reveal is None:
        raise RoundProblem(
            f"update {seen.id.hex()[:16]}… is locked: the reveal of member {seen.issuer} has not arrived"
        )
    issuer = ports.consortium.addresses[seen.issuer]
    lock = UpdateLock.from_reveal(reveal, issuer, state.facts.epoch, state.facts.round)
    return LockedUpdate(manifest.chunks, manifest.size, lock)


def seen_update(state: RoundState, update: bytes) -> UpdateSeen:
    """An update by its id.

    Raises:
        LyingPeer: It is not in this ledger.
    """
    found = next((u for u in state.updates if u.id == update), None)
    if found is None:
        raise LyingPeer(f"update {update.hex()[:16]}… is proposed and is not in this ledger", update=update.hex())
    return found
