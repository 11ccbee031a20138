"""The port's TLS, from files, and what is refused without it (towards other members: `node.calling.member`)."""

from __future__ import annotations

import ipaddress
import logging
import ssl
from typing import TYPE_CHECKING, Any, Final

from node.api.access.connections import GuardedProtocol
from node.api.access.gate import MAX_HEADER_BYTES
from node.errors import BadConfig

if TYPE_CHECKING:
    from node.config import Api, NodeConfig
    from node.home import Home

log = logging.getLogger("medweave.access")

LINE_BYTES: Final = 2 * MAX_HEADER_BYTES
"""A request line with its headers that is longer is not even read to its end."""
_CONNECTIONS_WAITING: Final = 256


def server_settings(home: Home, config: NodeConfig) -> dict[str, Any]:
    """What uvicorn is told: limits, and TLS where it is configured.

    Raises:
        BadConfig: A file cannot be used, only one of certificate and key is given, or the port would be open to others
            without TLS.
    """
    api = config.api
    if bool(api.tls_certificate) != bool(api.tls_key):
        raise BadConfig("[api] tls_certificate and tls_key go together: give both or none")
    check_exposure(config)
    settings: dict[str, Any] = {
        "http": GuardedProtocol,
        "ws": "none",
        "h11_max_incomplete_event_size": LINE_BYTES,
        "server_header": False,
        "backlog": _CONNECTIONS_WAITING,
        "timeout_keep_alive": 30,
        "proxy_headers": bool(api.proxies),  # else whoever calls from this machine could say to be anybody
        "forwarded_allow_ips": _proxies(api.proxies),
    }
    if api.tls_certificate:
        context = _server_context(home, api)
        settings["ssl_context_factory"] = lambda *_: context
    return settings


def check_exposure(config: NodeConfig) -> None:
    """Refuse a port that others can reach and read along.

    Raises:
        BadConfig: The node would listen beyond this machine, without TLS, and nobody said that this is meant.
    """
    host, api = config.hospital.host, config.api
    if api.tls_certificate or _is_loopback(host):
        return
    if not api.plain_elsewhere:
        raise BadConfig(
            f"[hospital] host {host} is reachable from other machines, and without TLS tokens could be read on the way: set "
            "[api] tls_certificate and tls_key, or plain_elsewhere = true where something in front encrypts"
        )
    log.warning("serving without TLS on %s, as [api] plain_elsewhere says: tokens can be read on the way", host)


def _proxies(listed: str) -> list[str]:
    found = [name.strip() for name in listed.split(",") if name.strip()]
    for name in found:
        try:
            ipaddress.ip_network(name)
        except ValueError:
            raise BadConfig(
                f"[api] proxies: {name!r} is no address and no network, such as 127.0.0.1 or 10.0.0.0/8"
            ) from None
    return found


def _server_context(home: Home, api: Api) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(home.file(api.tls_certificate), home.file(api.tls_key))
        if api.tls_members_ca:
            context.load_verify_locations(home.file(api.tls_members_ca))
            context.verify_mode = (
                ssl.CERT_OPTIONAL
            )  # people's browsers have none; members must (node.api.access.identify)
    except OSError as error:
        raise BadConfig(f"[api] tls_certificate, tls_key, tls_members_ca: {error}; PEM files are expected") from None
    return context


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
