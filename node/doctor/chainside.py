"""The chain, and where this hospital stands in it. Every judgement is a function of what was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.consortium.view import address_bytes
from node.doctor.verdict import fail, ok, skipped, warn
from node.epochs.start import member_index
from node.errors import BadPlan
from node.membership.funds import ether
from node.rounds.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from node.config import NodeConfig
    from node.consortium.view import ConsortiumView
    from node.doctor.verdict import Check
    from node.membership.funds import Funds

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
        name, f"within {max(1, round(abs(apart)))} s of the {len(peers)} others'" if peers else "not behind the chain's"
    )


def account(view: ConsortiumView, address: str, fingerprint: str) -> Check:
    """Whether this hospital is a member."""
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
    return warn(
        name,
        f"{address} is no member yet; fingerprint {fingerprint}",
        f"`medweave join` asks; {view.quorum} of {len(view.members)} members must `medweave members approve` the fingerprint",
    )


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


def plan(file: Path, in_force: Plan | None, config: NodeConfig, members: int, classes: tuple[str, ...]) -> Check:
    """Whether the plan can be carried out by these members, under this hospital's own policy, on its images.

    Args:
        file: This hospital's plan.
        in_force: The plan of the newest round; None where it is not known.
        config: The configuration.
        members: How many there are.
        classes: Of this hospital's images; empty if they are not known.
    """
    name = "plan"
    try:
        found = in_force or (Plan.from_toml(file) if file.exists() else None)
    except BadPlan as error:
        return fail(name, f"{file.name}: {error}", "`medweave plan check` says what a plan must have")
    if found is None:
        do = "`medweave join` brings one, `medweave plan new` writes one; without one this node opens no rounds"
        return (fail if config.rounds.target else warn)(name, f"{file.name} is missing", do)
    if classes and found.classes != classes:
        shown = f"its classes are {', '.join(found.classes)}, the images have {', '.join(classes)}"
        return fail(name, shown, "take the images in again under the plan's names, in its order")
    if found.min_group < config.rounds.min_group:
        shown = f"it opens sums of {found.min_group} updates, [rounds] min_group asks for {config.rounds.min_group}"
        return fail(name, shown, "agree with the members on one of the two; nothing is sent meanwhile")
    threshold, least = found.threshold_for(members), config.rounds.min_threshold or members // 2 + 1
    if not least <= threshold <= members:
        shown = f"{threshold} openers do not fit {members} members, of whom [rounds] min_threshold asks {least}"
        return fail(name, shown, "use a plan with threshold = 0, which follows the number of members")
    if members < max(2, found.min_group):
        shown = f"{found.name}: rounds begin with {max(2, found.min_group)} members, there are {members}"
        return warn(name, shown, "others join by `medweave join`; or agree on a plan with a smaller min_group")
    return ok(name, f"{found.name}: sums of {found.min_group} or more, opened by {threshold} of {members}")


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
