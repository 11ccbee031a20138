"""How much a caller may ask: token buckets, and how many requests may be under way."""

from __future__ import annotations

import ipaddress
import time
from collections import Counter, OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from node.api.access.errors import TooMany

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BUCKETS: Final = 10_000
"""Beyond these the one that was quiet longest is forgotten: it was full again anyhow, or is one of a flood."""
BURST_SECONDS: Final = 4.0
"""A caller may be ahead of its rate by what it would be given in this time."""
MAX_UNDER_WAY: Final = 512
"""Requests of all callers."""
MAX_UNDER_WAY_EACH: Final = 64
"""Requests of one caller."""
MAX_STRANGERS: Final = 128
"""Requests of all callers without credentials: many addresses that send slowly leave room for people and members."""


class Rates:
    """A token bucket a caller.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def spend(self, key: str, rate: float, cost: float = 1.0) -> None:
        """Take from a caller's bucket.

        Args:
            key: Who.
            rate: What it is given each second; the bucket holds `BURST_SECONDS` of it, and one at least.
            cost: What is taken.

        Raises:
            TooMany: 429; there is not enough in it.
        """
        now, most = self._clock(), max(1.0, rate * BURST_SECONDS)
        left, at = self._buckets.get(key, (most, now))
        left = min(most, left + (now - at) * rate)
        if left < cost:
            raise TooMany(
                f"at most {rate:g} requests a second are answered; come again later", 429, (cost - left) / rate
            )
        self._buckets[key] = (left - cost, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)


class UnderWay:
    """The requests that are being answered."""

    def __init__(self) -> None:
        self._each: Counter[str] = Counter()
        self._all, self._strangers = 0, 0

    @contextmanager
    def one(self, key: str, *, known: bool = True) -> Iterator[None]:
        """Count a request while it lasts.

        Args:
            key: Whose it is.
            known: Whether that is a person or a member.

        Raises:
            TooMany: 429 where this caller has too many under way, 503 where all together have.
        """
        if self._all >= MAX_UNDER_WAY:
            raise TooMany(f"{MAX_UNDER_WAY} requests are under way; come again later", 503, 1)
        if not known and self._strangers >= MAX_STRANGERS:
            raise TooMany(f"{MAX_STRANGERS} requests without credentials are under way; come again later", 503, 1)
        if self._each[key] >= MAX_UNDER_WAY_EACH:
            raise TooMany(f"{MAX_UNDER_WAY_EACH} requests of this caller are under way; come again later", 429, 1)
        self._each[key] += 1
        self._all += 1
        self._strangers += not known
        try:
            yield
        finally:
            self._all -= 1
            self._strangers -= not known
            self._each[key] -= 1
            if not self._each[key]:
                del self._each[key]


def network_of(address: str) -> str:
    """What a network address counts as: an IPv6 caller has a whole /64 to choose from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:  # as a port that listens on both sees IPv4 callers (RFC 4291, 2.5.5.2)
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
