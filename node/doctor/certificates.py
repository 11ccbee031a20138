"""The files TLS is served with: whether they fit each other and the URL, and when they expire. Standard library alone."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from node.doctor.verdict import fail, ok, warn

if TYPE_CHECKING:
    from pathlib import Path

    from node.config import NodeConfig
    from node.doctor.verdict import Check
    from node.home import Home

SOON_DAYS = 21
_TURNS = 8
_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME: an expired certificate is to be read, and then judged."""
NAME = "tls"
_DO = "put a new certificate and its key in place, and restart the node"


@dataclass(frozen=True)
class Certificate:
    """What matters of a certificate.

    Attributes:
        begins: Unix seconds.
        expires: Unix seconds.
        names: Host names and addresses it is for.
    """

    begins: float
    expires: float
    names: tuple[str, ...]


def tls(home: Home, config: NodeConfig, now: float) -> Check:
    """The node's own certificate, as `[api]` names it."""
    encrypted = config.hospital.url.startswith("https://")
    if not config.api.tls_certificate:
        return _without(config, encrypted=encrypted)
    if not encrypted:
        return warn(
            NAME, f"the node serves TLS, but its URL is {config.hospital.url}", "write https:// in [hospital] url"
        )
    try:
        found = read(home.file(config.api.tls_certificate), home.file(config.api.tls_key))
    except OSError as error:  # an SSLError is one too
        return fail(NAME, f"{config.api.tls_certificate}, {config.api.tls_key}: {error}", _DO)
    return judge(found, urlsplit(config.hospital.url).hostname or "", now)


def _without(config: NodeConfig, *, encrypted: bool) -> Check:
    where = f"{config.hospital.host}:{config.hospital.port}"
    alone = config.hospital.host in {"127.0.0.1", "::1", "localhost"}
    if not alone and not config.api.plain_elsewhere:
        found = f"none: what is said to {where} is not encrypted, and the node refuses to start so"
        return fail(NAME, found, "give [api] tls_certificate and tls_key")
    if encrypted:
        return ok(NAME, "no certificate here: something in front of the node must serve https for its URL")
    if alone:
        return ok(NAME, "none: the node listens on this machine alone")
    return warn(NAME, f"none: what is said to {where} is not encrypted", "see that something in front encrypts it")


def judge(found: Certificate, host: str, now: float) -> Check:
    """Whether a certificate is good for a host, now and for some weeks.

    Args:
        found: The certificate.
        host: Of the node's URL.
        now: Unix seconds.
    """
    days = (found.expires - now) / 86400
    if days <= 0:
        return fail(NAME, f"the certificate expired {-days:.0f} days ago", _DO)
    if now < found.begins:
        return fail(NAME, "the certificate is not valid yet", "set this machine's clock right, or wait")
    if not any(_matches(name.lower(), host.lower()) for name in found.names):
        return fail(NAME, f"the certificate is for {', '.join(found.names) or 'nobody'}, the URL says {host}", _DO)
    shown = f"for {', '.join(found.names)}, {days:.0f} more days"
    return warn(NAME, shown, _DO) if days < SOON_DAYS else ok(NAME, shown)


def _matches(name: str, host: str) -> bool:
    """RFC 6125: a star stands for one whole left-most label."""
    return name == host or (name.startswith("*.") and "." in host and host.split(".", 1)[1] == name[2:])


def read(certificate: Path, key: Path) -> Certificate:
    """The certificate that a pair of files serves, read by serving it to ourselves.

    Args:
        certificate: The chain (PEM), the node's own first.
        key: Its private key (PEM).

    Raises:
        OSError: The files cannot be read, or do not belong together.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    found = _served(server, client)
    begins, expires = (ssl.cert_time_to_seconds(str(found[field])) for field in ("notBefore", "notAfter"))
    names = found.get("subjectAltName", ())
    return Certificate(begins, expires, tuple(str(value) for kind, value in names if kind in {"DNS", "IP Address"}))


def _served(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """What a client that trusts exactly these certificates sees of the server's, in memory."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    answering = server.wrap_bio(up, down, server_side=True)
    asking = client.wrap_bio(down, up)
    for _ in range(_TURNS):
        try:
            asking.do_handshake()
            return dict(asking.getpeercert() or {})
        except ssl.SSLWantReadError:
            with contextlib.suppress(ssl.SSLWantReadError):
                answering.do_handshake()
    raise ssl.SSLError("the handshake did not end")
