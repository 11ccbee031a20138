"""The client with which a hospital calls the other members' nodes, made from its configuration and key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.calling.clients import Dialer, MemberAuth, members_tls
from node.errors import BadConfig

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from node.config import Api, NodeConfig
    from node.home import Home


def member_dialer(home: Home, config: NodeConfig, private_key: bytes, consortium: bytes) -> Dialer:
    """Calls as the member it is.

    Args:
        home: The hospital's directory.
        config: Its configuration.
        private_key: Its account's key, 32 bytes.
        consortium: The consortium's id, 32 bytes.

    Raises:
        BadConfig: A file of `[api]` cannot be used.
    """
    return Dialer(MemberAuth(private_key, consortium), tls_of(home, config.api))


def tls_of(home: Home, api: Api) -> ssl.SSLContext | None:
    """TLS towards the other members; None where nothing but the system's is set.

    Raises:
        BadConfig: A file of `[api]` cannot be used.
    """
    if not (api.tls_members_ca or api.tls_certificate):
        return None
    names = {key: getattr(api, key) for key in ("tls_members_ca", "tls_certificate", "tls_key")}
    authority, certificate, key = (_file(home, key, name) for key, name in names.items())
    try:
        return members_tls(authority, certificate, key)
    except OSError as error:
        raise BadConfig(f"[api] {', '.join(names)}: {error}; PEM files are expected") from None


def _file(home: Home, key: str, name: str) -> Path | None:
    if not name:
        return None
    path = home.file(name)
    if not path.is_file():
        raise BadConfig(f"[api] {key}: {path}: no such file")
    return path
