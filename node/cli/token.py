"""`medweave token`: people's tokens for a node's interface: make, list, revoke."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.api.access.roles import PEOPLE, Role
from node.api.access.tokens import Tokens
from node.cli.options import home_option
from node.home import Home

if TYPE_CHECKING:
    from node.api.access.tokens import Token


@click.group("token")
def command() -> None:
    """Tokens with which people and their programs use a node: make, list, revoke.

    They lie in the hospital's directory as digests; whoever can write it can make one. A running node knows of every change at once.
    """


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@command.command("create")
@home_option
@click.option("--role", type=click.Choice([str(role) for role in PEOPLE]), required=True, help="What it may do.")
@click.option("--name", required=True, help="Who or what it is for; shown in lists and in the access log.")
@click.option("--days", type=float, default=90, show_default=True, help="Until it expires, at most 3660.")
@_as_json
def create(home: Path, role: str, name: str, days: float, *, as_json: bool) -> None:
    """Make a token and show it, this once."""
    created = _tokens(home).create(name, Role(role), days)
    if as_json:
        click.echo(json.dumps(_plain(created.token) | {"token": created.secret}))
        return
    click.echo(created.secret)
    click.echo(f"role {role}, until {_time(created.token.expires)}; it is not shown again", err=True)


@command.command("list")
@home_option
@_as_json
def show(home: Path, *, as_json: bool) -> None:
    """List the tokens, ended ones included; never their secrets."""
    tokens = _tokens(home).all()
    if as_json:
        click.echo(json.dumps({"tokens": [_plain(token) for token in tokens]}))
        return
    titles = {"id": "id", "name": "name", "role": "role", "created": "made", "expires": "expires", "used": "last used"}
    rows = [[*titles.values(), "state"]]
    rows += [[str(row[key] or "-") for key in (*titles, "state")] for row in map(_plain, tokens)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@command.command("revoke")
@home_option
@click.argument("which", metavar="ID|NAME")
@_as_json
def revoke(home: Path, which: str, *, as_json: bool) -> None:
    """Let a token, or all tokens of a name, in no more; its sessions end as well."""
    ended = _tokens(home).revoke(which)
    if as_json:
        click.echo(json.dumps({"revoked": [token.id for token in ended]}))
    else:
        click.echo(f"revoked: {', '.join(token.id for token in ended) or 'nothing, that was done before'}")


def _tokens(home: Path) -> Tokens:
    place = Home(home)
    place.config()  # of a directory that is no hospital's, the error says so
    return Tokens(place.tokens)


def _plain(token: Token) -> dict[str, Any]:
    """A token for people and programs, without its digest."""
    reason = token.ended(datetime.now(UTC).timestamp())
    state = "valid" if reason is None else "revoked" if token.revoked is not None else "expired"
    row = {"id": token.id, "name": token.name, "role": str(token.role), "state": state}
    times = {"created": token.created, "expires": token.expires, "revoked": token.revoked, "used": token.used}
    return row | {key: None if value is None else _time(value) for key, value in times.items()}


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
