"""A typed client of a node's REST interface: what comes back is checked for form and size, blobs and models for content too.

Example:
    >>> from node.client import NodeClient
    >>> with NodeClient("https://node.example.org", token="mw_…") as node:  # doctest: +SKIP
    ...     newest = next(node.rounds(status="finalised", newest=True))
    ...     for event in node.events():
    ...         print(event.name, event.data)
"""

from node.client.errors import (
    ClientError,
    Malformed,
    NodeBusy,
    NodeUnreachable,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Refused,
    WrongBytes,
)
from node.client.news import News
from node.client.node import NodeClient

__all__ = [
    "ClientError",
    "Malformed",
    "News",
    "NodeBusy",
    "NodeClient",
    "NodeUnreachable",
    "NotAllowed",
    "NotFound",
    "NotSignedIn",
    "Refused",
    "WrongBytes",
]
