"""Roles, and callers that have one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """What a caller is to this node."""

    OPERATOR = "operator"
    """Runs the node."""
    SCIENTIST = "scientist"
    """Writes plans, reads results, takes models."""
    AUDITOR = "auditor"
    """Reads everything that proves something; no model, no figures of this hospital's own training."""
    CLINICIAN = "clinician"
    """A person or system that asks a model about an image."""
    MEMBER = "member"
    """Another hospital's node, by its signature."""
    ANYONE = "anyone"
    """Whoever reaches the port."""


PEOPLE = (Role.OPERATOR, Role.SCIENTIST, Role.AUDITOR, Role.CLINICIAN)
"""The roles that a token may have."""


@dataclass(frozen=True)
class Caller:
    """Who asks, as far as it was proven; in a route, `request.state.caller`."""

    kind: Literal["person", "member", "nobody"]
    """`nobody`: no credentials were given, or such as do not hold."""
    name: str
    """The token's name, the hospital's name, or the address it calls from."""
    role: Role
    key: str
    """What limits are counted by: token, seat or network address."""
    seat: int | None = None
    """A member's."""
    expires: int | None = None
    """Unix time in seconds at which a person's credentials end."""
    by_cookie: bool = False
    """A browser sent the credentials by itself, so that the page's origin has to be this node's."""
