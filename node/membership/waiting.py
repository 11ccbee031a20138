"""Before a hospital is a member: its daemon waits for the others' decision, and shows the fingerprint they will read.

A request itself is handed in by `medweave join`; here only the chain is asked whether it was carried out.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from chain.client import Chain
from chain.errors import ChainError
from node.consortium.follower import Follower
from node.epochs.start import member_index
from node.errors import BadConfig
from node.home import read_deployment, unlock_identity
from node.membership.fingerprint import fingerprint
from node.membership.funds import Funds, ether
from node.membership.succession import is_due, succeed

if TYPE_CHECKING:
    from node.consortium.view import ConsortiumView
    from node.home import Home, Identity

log = logging.getLogger("medweave.membership")

LOOK_SECONDS = 1.0


def until_member(home: Home, identity: Identity) -> Identity:
    """Wait until this hospital is a member, and put its next keys in place if the members have agreed to them.

    Args:
        home: The hospital's directory.
        identity: Its unlocked keys.

    Returns:
        The keys to go on with.

    Raises:
        BadConfig: It was a member and is none any more.
        ChainError: The chain cannot be reached when it is asked first, or is another one.
    """
    chain = Chain(home.config().chain.rpc, read_deployment(home))
    chain.verify()
    follower = Follower(chain)
    follower.look()
    said = ""
    while member_index(follower.view, account := str(identity.account.address)) is None:
        if is_due(home, follower.view):
            succeed(home, identity)
            identity = unlock_identity(home, identity.password)
            continue
        _refuse_former(follower.view, account)
        waits_for = _waits_for(chain, account, follower.view)
        if waits_for != said:
            shown = fingerprint(account, identity.box.public)
            log.warning("account %s is no member yet: waiting for %s; fingerprint %s", account, waits_for, shown)
            said = waits_for
        time.sleep(LOOK_SECONDS)
        _look(follower)
    if said:
        log.info("the members have admitted this hospital")
    return identity


def _waits_for(chain: Chain, account: str, view: ConsortiumView) -> str:
    """What is still missing before this hospital can take part, in words."""
    what = f"{view.quorum} of {len(view.members)} members to approve it"
    try:
        funds = Funds(chain.balance(account), chain.gas_price())
    except ChainError:
        return what
    if funds.balance >= funds.joining:
        return what
    return f"{what}, and for funds: it holds {ether(funds.balance)} ether, a first key and round cost {ether(funds.joining)}"


def _refuse_former(view: ConsortiumView, account: str) -> None:
    if bytes.fromhex(account.removeprefix("0x")) in view.seats:
        raise BadConfig(
            f"account {account} was a member's and is none any more: its hospital was removed, or answers to another account; "
            "a hospital that is to come back asks with new keys (`medweave init` in a new directory)"
        )


def _look(follower: Follower) -> None:
    try:
        follower.look()
    except ChainError as error:
        log.info("%s", error)
