"""Access to a node under test: real tokens, real signatures, a real log in a directory of the test's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from node.api.access.access import Access
from node.api.access.roles import Role
from node.config import Api, ChainSection, Hospital, NodeConfig
from node.consortium.view import ConsortiumView
from node.home import Home

PLENTY = 100_000.0


def config_for(url: str = "http://testserver", **api) -> NodeConfig:
    """A configuration whose limits no test reaches by accident."""
    rates = {"people_per_second": PLENTY, "members_per_second": PLENTY, "strangers_per_second": PLENTY}
    return NodeConfig(
        hospital=Hospital(name="Hospital 0", port=1, url=url),
        chain=ChainSection(rpc="http://chain"),
        api=Api(**{"hosts": "testserver", **rates, **api}),
    )


def access_over(
    view: ConsortiumView | Callable[[], ConsortiumView],
    consortium: bytes,
    url: str = "http://testserver",
    root: Path | None = None,
    key: bytes | None = None,
    **api,
) -> Access:
    """What the daemon makes for its port. Without a directory one is made that goes away with the object."""
    newest = view if callable(view) else lambda: view
    kept = None if root is not None else tempfile.TemporaryDirectory(prefix="access-")
    made = Access(Home(root or Path(kept.name)), config_for(url, **api), consortium, newest, key)
    made.kept = kept
    return made


def bearer(access: Access, role: Role = Role.OPERATOR) -> dict[str, str]:
    """Headers of a person with a fresh token."""
    return {"Authorization": f"Bearer {access.tokens.create(f'{role} of a test', role, 1).secret}"}
