"""Lists in pages: how long a page is, and the opaque cursor at which the next one begins.

A cursor is URL-safe base64 (no padding) of 17 bytes: 1 (its version), 8 of a digest over the list and its filter, 8 of the
last item's position, big endian. It holds no secret and is bound to nothing but the question it answers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeVar

from fastapi import Query

from node.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

MAX_PAGE: Final = 500
_VERSION: Final = b"\x01"
_BYTES: Final = 17

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most so many items.")]
CursorText = Annotated[
    str | None,
    Query(
        max_length=64,
        description="`next` of the page before; it belongs to that list with that filter and order.",
        examples=["AQ8fH4t1c0NrAAAAAAAAAGM"],
    ),
]
Order = Annotated[Literal["oldest", "newest"], Query(description="Which end of the list comes first.")]


@dataclass(frozen=True)
class Asked:
    """A page that is asked for.

    Attributes:
        of: Which list, with which filter: names and values in a fixed order.
        limit: At most so many items, ≥ 1.
        cursor: Where the page before ended, as its cursor said; None for the first page.
        newest: Whether the list begins at its end.
    """

    of: tuple[object, ...]
    limit: int = 100
    cursor: str | None = None
    newest: bool = False

    @property
    def after(self) -> int | None:
        """Position of the last item of the page before, or None.

        Raises:
            BadInput: The cursor is none of this list's.
        """
        if self.cursor is None:
            return None
        try:
            content = base64.b64decode(self.cursor + "=", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if len(content) != _BYTES or content[:1] + content[1:9] != _VERSION + self._binding():
            raise BadInput("cursor: it does not belong to this list with this filter; begin again without it")
        return int.from_bytes(content[9:], "big")

    def cursor_at(self, position: int) -> str:
        """The cursor of the page that follows an item.

        Args:
            position: Of that item, 0 to 2^64 - 1.
        """
        content = _VERSION + self._binding() + position.to_bytes(8, "big")
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    def cut(self, items: Iterable[tuple[int, T]]) -> tuple[list[T], str | None]:
        """The page of a list that lies in memory, and the next one's cursor, None after the last.

        Args:
            items: All that fit the filter, each with its position, by ascending position.

        Raises:
            BadInput: The cursor is none of this list's.
        """
        after, rows = self.after, list(items)
        if self.newest:
            rows = [row for row in reversed(rows) if after is None or row[0] < after]
        else:
            rows = [row for row in rows if after is None or row[0] > after]
        page = rows[: self.limit]
        more = self.cursor_at(page[-1][0]) if len(rows) > self.limit else None
        return [item for _, item in page], more

    def _binding(self) -> bytes:
        return hashlib.sha256(repr((self.of, self.newest)).encode()).digest()[:8]
