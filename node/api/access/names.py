"""The names a node is called by: what a `Host` field may say, and for which of them a member's signature counts."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from node.api.access.errors import NotSignedIn, WrongHost
from node.calling.signatures import authority_of, normalised

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.config import NodeConfig

LOOPBACK: Final = "localhost"


class Names:
    """The names of one node.

    Args:
        config: Its configuration: URL and further names.
        registered: The URL that the chain has of it now; empty where it has none.
    """

    def __init__(self, config: NodeConfig, registered: Callable[[], str]) -> None:
        url = config.hospital.url
        scheme = url.partition(":")[0]
        further = (normalised(name.strip(), scheme) for name in config.api.hosts.split(",") if name.strip())
        self._fixed = frozenset({authority_of(url), *further})
        self._bare = frozenset({LOOPBACK, *map(_name, self._fixed)})
        self._registered = registered

    def verify_host(self, host: str) -> None:
        """Check that a request means this node. An address does: nobody can point it elsewhere, as a name can be (DNS rebinding).

        Args:
            host: The `Host` field, normalised.

        Raises:
            WrongHost: It names another.
        """
        name = _name(host)
        if host in self._fixed or name in self._bare or _is_address(name):
            return
        if not name or name != _name(self._chains()):
            raise WrongHost(f"this node is not {host[:80]!r}; `[api] hosts` lists further names")

    def verify_audience(self, host: str) -> None:
        """Check that a member signed for this node: for its configured or registered URL, or a name of `[api] hosts`.

        Args:
            host: The `Host` field, normalised.

        Raises:
            NotSignedIn: It signed for somebody else, or for an address that could be anybody's.
        """
        if host not in self._fixed and host != self._chains():
            raise NotSignedIn(f"the request is signed for {host[:80]!r}, not for this node's registered address")

    def _chains(self) -> str:
        url = self._registered()
        try:
            return authority_of(url) if url else ""
        except ValueError:  # what a member registers is its own choice
            return ""


def _name(host: str) -> str:
    """A host without its port."""
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[")
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
