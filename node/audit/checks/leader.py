"""Seeds and leaders: each round's seed follows from the one before (CHN-2), and its leader acted in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_utils.crypto import keccak

from chain.errors import BadArgument
from node.consortium.view import address_bytes

if TYPE_CHECKING:
    from node.audit.chainside import ChainFacts
    from node.audit.dossier import Dossier
    from node.audit.notes import Link


def check_seeds(facts: ChainFacts, last: int, link: Link) -> None:
    """Recompute every seed from the consortium's id to what round `last` left behind.

    The next seed is keccak256 of seed, seed material and round number, 32 bytes each; an aborted round adds zeros.
    """
    seed = keccak(facts.deployment.consortium)
    for number in sorted(facts.view.rounds):
        if number > last:
            break
        row = facts.view.rounds[number]
        link.equal(f"round {number}", "its seed", row.seed, seed)
        if row.open or row.next_seed is None:
            continue
        material = bytes(32)
        if row.finalised:
            made = facts.finalised.get(number)
            if made is None or made.signed is None:
                link.unchecked(f"round {number}", f"what it added to the seed: {made.why if made else 'no such event'}")
                seed = row.next_seed
                continue
            material = made.signed.outcome.seed_material
        seed = keccak(row.seed + material + number.to_bytes(32, "big"))
        link.equal(f"round {number}", "the seed it left behind", row.next_seed, seed)
        seed = row.next_seed


def check(dossier: Dossier, link: Link) -> None:
    """The leader is a member, put these very roots on chain in this round, and did not act before its time slot."""
    here = dossier.here
    leader = here.row.leader or ""
    address = address_bytes(leader)
    if address not in here.seats:
        link.falsified(leader, "the leader is no member of the round")
        return
    proposed = here.proposed
    if proposed is None:
        link.falsified(leader, f"put no proposal {(here.row.proposal or b'').hex()} on chain in this round")
        return
    if here.signed is not None:
        link.equal(leader, "the updates root it proposed", proposed.updates_root, here.signed.outcome.updates_root)
        link.equal(leader, "the sums root it proposed", proposed.sums_root, here.signed.outcome.sums_root)
    if dossier.ledger is None:
        link.unchecked(leader, "whether it acted in turn: its proposal could not be read")
        return
    try:
        order = here.row.ranking
    except BadArgument as error:
        link.falsified(leader, f"no ranking follows from the seed: {error}")
        return
    rank, attempt = order.index(here.seats[address]), dossier.ledger.proposal.attempt
    if attempt < rank:
        link.falsified(
            leader, f"has rank {rank} by the round's seed and proposed in time slot {attempt}, before its turn"
        )
