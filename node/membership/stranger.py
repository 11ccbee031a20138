"""Calls to members' nodes by one who is none yet: no signature, but whose certificates are believed is configured as for a member."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.calling import Dialer
from node.calling.clients import members_tls
from node.errors import BadConfig

if TYPE_CHECKING:
    from pathlib import Path

    from node.config import NodeConfig
    from node.home import Home


def stranger_dialer(home: Home, config: NodeConfig) -> Dialer:
    """Makes anonymous clients that believe whom `[api]` says, the system's authorities by default.

    Args:
        home: The hospital's directory.
        config: Its configuration.

    Raises:
        BadConfig: A file that `[api]` names cannot be used.
    """
    api = config.api
    if not (api.tls_members_ca or api.tls_certificate):
        return Dialer()

    def file(name: str) -> Path | None:
        return home.file(name) if name else None

    try:
        return Dialer(tls=members_tls(file(api.tls_members_ca), file(api.tls_certificate), file(api.tls_key)))
    except OSError as error:
        raise BadConfig(f"[api] tls_certificate, tls_key, tls_members_ca: {error}; PEM files are expected") from None
