"""`medweave chain`: put a consortium's contracts on a chain, look at them, follow what they tell."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.client import Chain
from chain.errors import ChainError
from chain.eventlog import EventLog
from chain.heads import HeadWatcher
from chain.intents import IntentBook, State
from node.cli.chain_deploy import deploy
from node.cli.reader import Reader, chain_options
from node.home import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from chain.cursor import EventCursor, News
    from chain.events import Event
    from chain.records import Hospital
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView

WATCHED_POLL_SECONDS = 5.0
"""While new blocks are announced, the chain is asked all the same, this seldom."""

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("chain")
def command() -> None:
    """Deploy a consortium's contracts, look at them, follow their events.

    Reading takes --home DIR, or --rpc URL and --contracts FILE; it needs no password.
    """


command.add_command(deploy)


@command.command("status")
@chain_options
@_json
def status(home: Path | None, rpc: str | None, contracts: Path | None, *, as_json: bool) -> None:
    """Print where the consortium stands on chain, and with --home what that hospital has still to bring there."""
    reader = Reader.of(home, rpc, contracts)
    facts = {**_chain_facts(reader), **_view_facts(reader.view), **_sending(home, reader.chain)}
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):<18} {'-' if value in (None, '') else value}")


def _chain_facts(reader: Reader) -> dict[str, Any]:
    deployment, block = reader.chain.deployment, reader.chain.block_number()
    return {
        "chain": deployment.chain_id,
        "block": block,
        "block_time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(reader.chain.now())),
        "consortium": _hex(deployment.consortium),
        "deployed_in_block": deployment.block,
        **deployment.addresses,
    }


def _view_facts(view: ConsortiumView) -> dict[str, Any]:
    current, ceremony = view.current, view.ceremony
    return {
        "members": len(view.standing.members),
        "quorum": view.quorum,
        "active_epoch": view.active_epoch,
        "ceremony": None if ceremony is None else ceremony.epoch,
        "rounds": len(view.rounds),
        "finalised": view.finalised,
        "current_round": None if current is None else f"{current.round} ({current.status})",
        "head": None if view.head is None else _hex(view.head),
    }


def _sending(home: Path | None, chain: Chain) -> dict[str, Any]:
    """What a hospital's node has recorded and not seen final."""
    if home is None or not Home(home).intents.exists():
        return {}
    account = _account(Home(home))
    if account is None:
        return {}
    book = IntentBook(Home(home).intents)
    intents = book.unresolved(account, chain.deployment.chain_id)
    book.close()
    waiting = [intent.call.what for intent in intents if intent.state is State.OPEN]
    return {
        "account": account,
        "balance_ether": chain.balance(account) / 10**18,
        "not_mined": ", ".join(waiting),
        "not_final": len(intents) - len(waiting),
    }


def _account(home: Home) -> str | None:
    """The account's address, which the keystore states in the clear."""
    from eth_utils.address import is_address, to_checksum_address

    try:
        stated = json.loads(home.account_file.read_bytes())["address"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(to_checksum_address(stated)) if isinstance(stated, str) and is_address(stated) else None


@command.command("members")
@chain_options
@_json
def members(home: Path | None, rpc: str | None, contracts: Path | None, *, as_json: bool) -> None:
    """Print every hospital that is or was a member, with its standing."""
    view = Reader.of(home, rpc, contracts).view
    rows = [_member(view, seat, hospital) for seat, hospital in enumerate(view.hospitals)]
    if as_json:
        click.echo(json.dumps({"members": rows}, indent=2))
        return
    for row in rows:
        stands = f"reputation {row['reputation']}" if row["member"] else "no member any more"
        click.echo(
            f"{row['index']:>3}  {row['account']}  {_plain(row['name']):<24} {row['data_size']:>8} images  {stands}"
        )
        click.echo(f"     {_plain(row['url']) or '-'}")


def _member(view: ConsortiumView, seat: int, hospital: Hospital) -> dict[str, Any]:
    return {
        "index": seat,
        "name": hospital.name,
        "account": hospital.account,
        "box_key": hospital.box_key.hex(),
        "data_size": hospital.data_size,
        "url": hospital.url,
        "member": seat in view.standing.members,
        "reputation": view.standing.reputations[seat],
    }


@command.command("rounds")
@chain_options
@_json
def rounds(home: Path | None, rpc: str | None, contracts: Path | None, *, as_json: bool) -> None:
    """Print every round and how it ended."""
    view = Reader.of(home, rpc, contracts).view
    rows = [_round(view.rounds[number]) for number in sorted(view.rounds)]
    if as_json:
        click.echo(json.dumps({"rounds": rows}, indent=2))
        return
    for row in rows:
        ended = f"block {row['ended_in']}" if row["ended_in"] else f"until {_moment(row['finalise_by'])}"
        click.echo(
            f"{row['round']:>5}  {row['status']:<9}  epoch {row['epoch']:<3} proposals {row['proposals']}  {ended:<32} "
            f"signers {row['signers']:>3}  model {(row['model'] or '-')[:18]}"
        )


def _round(row: RoundView) -> dict[str, Any]:
    return {
        "round": row.round,
        "status": row.status,
        "epoch": row.epoch,
        "plan": _hex(row.plan),
        "base": _hex(row.base),
        "opened_in": row.opened_in,
        "collect_by": row.collect_by,
        "finalise_by": row.finalise_by,
        "proposals": len(row.proposals),
        "ended_in": row.ended_in,
        "model": None if row.model is None else _hex(row.model),
        "leader": row.leader,
        "statement": None if row.statement is None else _hex(row.statement),
        "signers": row.signers.bit_count(),
    }


@command.command("watch")
@chain_options
@click.option("--all", "everything", is_flag=True, help="Begin with everything that was told so far.")
@click.option(
    "--state",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File that remembers what was read: the next watch with it goes on from there.",
)
@click.option("--websocket", help="WebSocket endpoint that announces new blocks; default: ask again and again.")
@click.option("--poll", type=click.FloatRange(0.05, 60), default=0.5, show_default=True, help="Seconds between asking.")
@click.option("--timeout", type=click.FloatRange(0), help="Seconds after which to end; default: at Ctrl-C.")
@_json
def watch(
    home: Path | None,
    rpc: str | None,
    contracts: Path | None,
    everything: bool,
    state: Path | None,
    websocket: str | None,
    poll: float,
    timeout: float | None,
    *,
    as_json: bool,
) -> None:
    """Print what the contracts tell as it comes, a line an event (with --json: an object a line), until Ctrl-C.

    What the chain takes back is said by a line ChainWentBack: all that was told of later blocks is void. A chain that
    does not answer is said on standard error and asked again.
    """
    chain = Reader.chain_of(home, rpc, contracts)
    chain.verify()
    known = EventLog(state, chain.deployment) if state is not None else None
    fresh = known is None or known.position() is None
    cursor = chain.cursor(known)
    if fresh and not everything:
        cursor.look()
    elif everything and not fresh:
        _print(cursor.replay(), as_json=as_json)
    asyncio.run(_stream(cursor, websocket, poll, timeout, as_json=as_json))


async def _stream(
    cursor: EventCursor, websocket: str | None, poll: float, seconds: float | None, *, as_json: bool
) -> None:
    """Print events until the time is over."""
    announced = asyncio.Event()
    heads = HeadWatcher(websocket, announced.set) if websocket else None
    listening = asyncio.ensure_future(heads.run()) if heads else None
    end, said = None if seconds is None else time.monotonic() + seconds, ""
    try:
        while end is None or time.monotonic() < end:
            try:
                news = await asyncio.to_thread(cursor.look)
                said = ""
            except ChainError as error:
                if str(error) != said:
                    said = str(error)
                    click.echo(f"waiting: {said}", err=True)
            else:
                _tell(news, as_json=as_json)
            pause = max(poll, WATCHED_POLL_SECONDS) if heads is not None and heads.connected else poll
            if end is not None:
                pause = min(pause, max(0.0, end - time.monotonic()))
            await _either(announced, pause)
    finally:
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _either(announced: asyncio.Event, seconds: float) -> None:
    """Wait for the event or so long."""
    waiting = asyncio.ensure_future(announced.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()
    announced.clear()


def _tell(news: News, *, as_json: bool) -> None:
    if news.went_back is not None:
        told = {"ancestor": news.went_back.ancestor, "seen": news.went_back.seen}
        _line("ChainWentBack", told, as_json=as_json)
    _print(news.events, as_json=as_json)


def _print(events: tuple[Event, ...], *, as_json: bool) -> None:
    for event in events:
        values = {field.name: getattr(event, field.name) for field in fields(event)}
        _line(type(event).__name__, values, as_json=as_json)


def _line(name: str, values: Mapping[str, object], *, as_json: bool) -> None:
    shown = {key: _hex(value) if isinstance(value, bytes) else value for key, value in values.items()}
    if as_json:
        click.echo(json.dumps({"event": name, **shown}))
        return
    said = " ".join(f"{key}={_plain(value)}" for key, value in shown.items() if key not in {"block", "log_index", "tx"})
    click.echo(f"{'' if 'block' not in shown else 'block ' + str(shown['block']):<14} {name:<18} {said}".strip())


def _plain(value: object) -> str:
    """Text of a member's choice without what a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in str(value))


def _hex(value: bytes) -> str:
    return f"0x{value.hex()}"


def _moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
