"""Clients for calling nodes: who calls, over which TLS. Proxies of the environment are never used, redirects never followed."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import coincurve
import httpx

from node.calling.signatures import Call, authority_of, digest_field, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path


class MemberAuth(httpx.Auth):
    """Signs every request as a member of a consortium (`node.calling.signatures`).

    Args:
        private_key: The account's secp256k1 key, 32 bytes.
        consortium: The consortium's id, 32 bytes.
        clock: Unix time, seconds.
    """

    requires_request_body = True

    def __init__(self, private_key: bytes, consortium: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = coincurve.PrivateKey(private_key)
        self._consortium = consortium
        self._clock = clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the signature's fields; see `httpx.Auth`."""
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        digest = digest_field(request.content) if request.content else ""
        call = Call(request.method, authority_of(str(request.url)), path, query, digest)
        request.headers.update(sign(call, self._key, self._consortium, int(self._clock())))
        yield request


class BearerAuth(httpx.Auth):
    """Sends a person's token, to one node alone.

    Args:
        token: What `medweave token create` showed.
        url: The node it is for; a request to another host goes without it.
    """

    def __init__(self, token: str, url: str) -> None:
        self._token = token
        self._authority = authority_of(url)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token; see `httpx.Auth`."""
        if authority_of(str(request.url)) == self._authority:
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


@dataclass(frozen=True)
class Dialer:
    """Makes the clients with which one party calls nodes; without arguments, those of nobody in particular.

    Attributes:
        auth: Says who calls.
        tls: Whose certificates are believed, and the own one that is shown; the system's by default.
    """

    auth: httpx.Auth | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    def client(self, timeout: httpx.Timeout | float, limits: httpx.Limits | None = None) -> httpx.Client:
        """A client that several threads may share."""
        tls = self.tls or _system_tls()
        return httpx.Client(
            auth=self.auth, verify=tls, timeout=timeout, trust_env=False, limits=limits or httpx.Limits()
        )

    def async_client(self, timeout: httpx.Timeout | float) -> httpx.AsyncClient:
        """The same for an event loop."""
        return httpx.AsyncClient(auth=self.auth, verify=self.tls or _system_tls(), timeout=timeout, trust_env=False)


@lru_cache(maxsize=1)
def _system_tls() -> ssl.SSLContext:
    """Read once: it takes longer than a call."""
    return ssl.create_default_context()


def members_tls(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS towards the other members' nodes.

    Args:
        authority: File with the certificates (PEM) that the members' own must come from; None: the system's.
        certificate: This node's certificate chain (PEM), shown to them; None: none is shown.
        key: Its private key (PEM).

    Raises:
        OSError: A file cannot be read, or is no certificate or key.
    """
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
