"""Everything the gate of one node stands on, made from its configuration."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import coincurve

from node.api.access.bodies import Bodies
from node.api.access.book import AccessBook
from node.api.access.identify import Doorkeeper
from node.api.access.limits import Rates, UnderWay
from node.api.access.seen import Seen
from node.api.access.sessions import Sessions
from node.api.access.tokens import Tokens
from node.calling.signatures import authority_of, normalised
from node.errors import BadEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.api.access.roles import Caller
    from node.config import NodeConfig
    from node.consortium.view import ConsortiumView
    from node.home import Home

LOOPBACK = "localhost"


class Access:
    """Who may come in, and the record of who did.

    Args:
        home: The hospital's directory.
        config: Its configuration.
        consortium: The consortium's id, 32 bytes.
        view: What the chain said so far, newest knowledge at each call.
        private_key: Signs heads of the access log, 32 bytes; None: none are signed.
        clock: Unix time in seconds.

    Raises:
        BadEnvironment: The directory cannot be written.
    """

    def __init__(
        self,
        home: Home,
        config: NodeConfig,
        consortium: bytes,
        view: Callable[[], ConsortiumView],
        private_key: bytes | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        api = config.api
        own = authority_of(config.hospital.url)
        scheme = config.hospital.url.partition(":")[0]
        further = frozenset(normalised(name.strip(), scheme) for name in api.hosts.split(",") if name.strip())
        self.hosts = frozenset({own, own.partition(":")[0], LOOPBACK, *further})
        """What a `Host` header may name, besides addresses; with or without a port."""
        self._rates = {
            "person": api.people_per_second,
            "member": api.members_per_second,
            "nobody": api.strangers_per_second,
        }
        self.rates, self.under_way, self.bodies = Rates(), UnderWay(), Bodies()
        self.tokens, self.sessions = Tokens(home.tokens, clock), Sessions(clock)
        try:
            self.book = AccessBook(home.access, _signer(private_key), self.tokens.flush, clock)
            self._seen = Seen(home.access, api.clock_seconds, clock())
        except OSError as error:
            raise BadEnvironment(f"{home.access}: the access log cannot be kept there: {error.strerror}") from None
        self.door = Doorkeeper(
            self.tokens,
            self.sessions,
            self._seen,
            frozenset({own, *further}),
            consortium,
            view,
            window=api.clock_seconds,
            certified=bool(api.tls_certificate and api.tls_members_ca),
            clock=clock,
        )

    def rate_of(self, caller: Caller) -> float:
        """Requests a second that a caller may make."""
        return self._rates[caller.kind]

    def close(self) -> None:
        """Write what is left of the log and close the files."""
        self.book.close()
        self._seen.close()
        self.tokens.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _signer(private_key: bytes | None) -> Callable[[bytes], bytes] | None:
    if private_key is None:
        return None
    key = coincurve.PrivateKey(private_key)
    return lambda digest: bytes(key.sign_recoverable(digest, hasher=None))
