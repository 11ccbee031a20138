"""Opening a round without a running node: the genesis model first, where there is none."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from chain.client import Chain
from chain.errors import ContractReverted
from chain.fees import GWEI
from chain.intents import IntentBook
from node.daemon.opening import SOMEBODY_WAS_FASTER
from node.errors import BadInput
from node.home import read_deployment, unlock_identity
from node.learning.modelfile import model_hash
from node.planning.choice import fewest_members, key_serves
from node.rounds.steps.models import genesis_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.cli.round_source import RoundDesk

PROBE_SECONDS = 1.0


def send_opening(desk: RoundDesk, password: str) -> None:
    """Send what opens the next round by the plan in force, from this process.

    Args:
        desk: The hospital.
        password: Opens its keys.

    Raises:
        BadInput: Its node runs, or there is no plan, no fitting key, or too few members.
        ChainError: The chain does not answer, or refuses.
    """
    hospital = desk.shelf.config.hospital
    if _answers(hospital.host, hospital.port):
        raise BadInput(
            f"--direct: something listens on {hospital.host}:{hospital.port}, so this hospital's node runs: leave --direct out, two "
            "processes must not send from one account"
        )
    plan, _ = desk.shelf.in_force()
    if len(desk.view.members) < fewest_members(plan) or not key_serves(desk.view, plan):
        raise BadInput(f"no round can be opened: {desk.next().why}")
    settings, identity = desk.shelf.config.chain, unlock_identity(desk.home, password)
    book = IntentBook(desk.home.intents)
    fee_cap = int(settings.max_fee_gwei * GWEI)
    try:
        chain = Chain(settings.rpc, read_deployment(desk.home), identity.account, book=book, fee_cap=fee_cap)
        chain.verify()
        desk.shelf.store.put(plan.to_bytes())
        head = desk.view.head
        if head is None:
            head = model_hash(genesis_model(plan))
            _tolerant(lambda: chain.rounds.genesis(head or b"", plan.digest))
        _tolerant(lambda: chain.rounds.open(plan.digest, head or b"", plan.collect_seconds, plan.round_seconds))
    finally:
        book.close()


def _tolerant(send: Callable[[], object]) -> None:
    """Send; that somebody else did it meanwhile is as good."""
    try:
        send()
    except ContractReverted as error:
        if error.name not in SOMEBODY_WAS_FASTER:
            raise


def _answers(host: str, port: int) -> bool:
    address = "127.0.0.1" if host in {"0.0.0.0", ""} else host  # noqa: S104  (compared, not bound)
    try:
        with socket.create_connection((address, port), PROBE_SECONDS):
            return True
    except OSError:
        return False
