"""Everything the gate of one node stands on, made from its configuration."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Self

import coincurve

from node.api.access.bodies import Bodies
from node.api.access.book import AccessBook
from node.api.access.identify import Doorkeeper
from node.api.access.limits import Rates, UnderWay
from node.api.access.names import Names
from node.api.access.seen import Seen
from node.api.access.sessions import Sessions
from node.api.access.tokens import Tokens
from node.calling.signatures import address_of
from node.errors import BadEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.api.access.roles import Caller
    from node.config import NodeConfig
    from node.consortium.view import ConsortiumView
    from node.home import Home


class Access:
    """Who may come in, and the record of who did.

    Args:
        home: The hospital's directory.
        config: Its configuration.
        consortium: The consortium's id, 32 bytes.
        view: What the chain said so far, newest knowledge at each call.
        private_key: This hospital's, 32 bytes: signs heads of the access log; None: none are signed.
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
        self.names = Names(config, partial(_registered, _address(private_key), view))
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
            self.names,
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


def _address(private_key: bytes | None) -> bytes:
    return address_of(coincurve.PrivateKey(private_key).public_key.format(compressed=False)) if private_key else b""


def _registered(account: bytes, view: Callable[[], ConsortiumView]) -> str:
    """The URL that the chain has of an account's hospital now."""
    known = view()
    seat = known.seats.get(account)
    return "" if seat is None else known.hospitals[seat].url
