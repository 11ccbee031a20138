"""The chain, and where this hospital stands in it. Every judgement is a function of what was read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from node.consortium.view import address_bytes
from node.doctor.verdict import fail, ok, skipped, warn
from node.epochs.start import member_index
from node.membership.funds import ether
from node.planning.choice import fewest_members, refusals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from node.config import NodeConfig
    from node.consortium.view import ConsortiumView
    from node.doctor.verdict import Check
    from node.membership.funds import Funds
    from node.planning.choice import Choice
    from node.planning.first import Images
    from node.rounds.plan import Plan

AHEAD_SECONDS = 15.0
"""A block is no younger than this machine's clock says, give or take."""


def clock(now: float, block_time: int, peers: Mapping[str, float], tolerance: float) -> Check:
    """This machine's clock beside the chain's newest block and the other members' clocks.

    A chain that mines on demand makes no blocks for hours, so an old block says nothing; one from the future does.

    Args:
        now: Unix seconds here.
        block_time: Of the newest block.
        peers: Unix seconds there less those here, by name.
        tolerance: Seconds that another node's clock may be off.
    """
    name, do = "clock", "set the clock, and let it be kept: timedatectl set-ntp true"
    if block_time - now > AHEAD_SECONDS:
        return fail(name, f"it is {block_time - now:.0f} s behind the chain's newest block", do)
    # The middle one of all: one member's wrong clock says nothing about this one's.
    apart = sorted(peers.values())[len(peers) // 2] if peers else 0.0
    if abs(apart) > tolerance:
        return fail(name, f"{abs(apart):.0f} s {'behind' if apart > 0 else 'ahead of'} the other members'", do)
    if abs(apart) > tolerance / 4:
        return warn(name, f"{abs(apart):.0f} s {'behind' if apart > 0 else 'ahead of'} the other members'", do)
    return ok(
        name,
        f"within {max(1, round(abs(apart)))} s of the other members' ({len(peers)})"
        if peers
        else "not behind the chain's",
    )


def account(view: ConsortiumView, address: str, fingerprint: str, asked_until: int = 0) -> Check:
    """Whether this hospital is a member.

    Args:
        view: What the chain said.
        address: Its account.
        fingerprint: Of its keys.
        asked_until: Unix seconds until which its request stands; 0 where it has made none, or it is over.
    """
    name = "account"
    if (seat := member_index(view, address)) is not None:
        equivocator = seat in view.standing.equivocators
        shown = f"{address} is member {seat} of {len(view.members)}, reputation {view.standing.reputations[seat]}"
        if equivocator:
            return warn(
                name, f"{shown}; it contradicted itself in the ledger", "docs/operations.md: suspected compromise"
            )
        return ok(name, shown)
    if address_bytes(address) in view.seats:
        return fail(
            name,
            f"{address} was a member's and is none any more",
            "to come back, make new keys in a new directory (`medweave init`) and `medweave join`",
        )
    shown = f"{address} is no member yet; fingerprint {fingerprint}"
    if not asked_until:
        return warn(name, f"{shown}; it has not asked to be one", "medweave join --to URL, of a member's node")
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(asked_until))
    do = f"read the fingerprint to the members: {view.quorum} of {len(view.members)} must `medweave members approve` it"
    return warn(name, f"{shown}; its request stands until {until}", do)


def registered_url(view: ConsortiumView, seat: int | None, config: NodeConfig) -> Check:
    """Whether the others look for this node where it says it is."""
    name = "url"
    if seat is None:
        return skipped(name, "this hospital is no member")
    registered = view.hospitals[seat].url
    if registered.rstrip("/") == config.hospital.url.rstrip("/"):
        return ok(name, registered)
    return fail(
        name,
        f"registered on chain: {registered or 'none'}; [hospital] url: {config.hospital.url}",
        "register the one that is right: medweave members url",
    )


def funds(name_of: str, held: Funds, spare: int) -> Check:
    """Whether the account can pay for its part.

    Args:
        name_of: The account.
        held: What it holds, and the price of gas.
        spare: Rounds that it should last for.
    """
    name = "funds"
    rounds = held.rounds
    if rounds is None:
        return ok(name, f"{ether(held.balance)} ether; the chain asks for nothing")
    shown = f"{ether(held.balance)} ether, some {rounds} rounds at today's price"
    do = f"have ether sent to {name_of}; {ether(held.comfortable)} last for {spare} rounds"
    if held.balance < held.joining:
        return fail(name, shown, do)
    return warn(name, shown, do) if held.balance < held.comfortable else ok(name, shown)


def key(view: ConsortiumView, seat: int | None, shares: Mapping[int, Path]) -> Check:
    """Whether a joint key is in force that fits the members, and this hospital holds its share.

    Args:
        view: What the chain said.
        seat: This hospital's; None for no member.
        shares: Its share files of the active epoch by generation.
    """
    name = "key"
    epoch = view.epochs.get(view.active_epoch)
    if view.ceremony is not None:
        return warn(name, f"a ceremony of epoch {view.ceremony.epoch} is running", "every member's node must run; wait")
    if epoch is None:
        return warn(name, "no joint key yet", "it is made when enough members' nodes run: see the plan's min_group")
    shown = f"epoch {epoch.epoch}, generation {epoch.generation}, {epoch.threshold} of {len(epoch.seats)} open sums"
    if not view.fitting:
        return warn(
            name, f"{shown}; the members have changed since", "every member's node must run: it makes a new key"
        )
    if seat is None or seat not in epoch.seats:
        return skipped(name, f"{shown}; this hospital has no part in it")
    if not shares:
        return fail(
            name, f"{shown}; this hospital's share is missing", "`medweave keys restore`, or `medweave keys rotate`"
        )
    if epoch.generation not in shares:
        return fail(
            name,
            f"{shown}; this hospital's share is of generation {max(shares)}",
            "restore a newer backup (`medweave keys restore`), or make a new key: `medweave keys rotate`",
        )
    return ok(name, f"{shown}; the share is here")


def plan(
    found: Plan | None,
    choice: Choice,
    config: NodeConfig,
    members: int,
    images: Images | None,
    *,
    minimal: bool = False,
) -> Check:
    """Whether the plan can be carried out by these members, under this hospital's own policy, on its images.

    Args:
        found: The plan in force; None where its bytes are not here.
        choice: Which one that is, and why.
        config: The configuration.
        members: How many there are.
        images: What this hospital's images are; None if they are not known.
        minimal: Whether the insecure parameters are accepted: tests only.
    """
    name = "plan"
    if choice.digest is None:
        do = "`medweave plan new` writes one, `medweave plan propose` puts it to the vote"
        return (fail if config.rounds.target else warn)(name, choice.words, do)
    if found is None:
        shown = f"{choice.digest.hex()[:16]}…, {choice.words}; its bytes are not here yet"
        return warn(name, shown, "the running node fetches them from the others; see the peers below")
    shown = f"{found.name!r}, {choice.words}"
    for why in refusals(found, config.rounds, members, images, allow_minimal=minimal):
        return fail(
            name, f"{shown}: {why}", "agree on another plan (`medweave plan propose`), or change this hospital's part"
        )
    if members < (fewest := fewest_members(found)):
        do = "others join by `medweave join`; or agree on a plan with a smaller min_group"
        return warn(name, f"{shown}: rounds begin with {fewest} members, there are {members}", do)
    openers = found.threshold_for(members)
    return ok(name, f"{shown}: sums of {found.min_group} or more, opened by {openers} of {members}")


def declared(view: ConsortiumView, seat: int, images: int) -> Check:
    """Whether the size that the chain has for this hospital is still about right: it caps what its updates weigh (eq. 19).

    Args:
        view: What the chain said.
        seat: This hospital's.
        images: Training images that are here.
    """
    name, said = "declared size", view.hospitals[seat].data_size
    shown = f"{said} images on chain, {images} here"
    if said > images or images > 2 * said:
        return warn(name, shown, f"`medweave members resize {images}`: others judge this hospital's weight by it")
    return ok(name, shown)
