"""A member's part in the self-test: which of its partial openings belong to which subset, in dag-cbor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dag import codec
from dag.errors import LedgerError
from dag.fields import as_map, as_tuple, check_integer, check_keys, check_tuple
from dag.ids import blob_cid, blob_link
from node.errors import LyingPeer

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SUBSETS = 512
_LIMIT = 64 * 1024


def pack_report(openings: Mapping[int, str]) -> bytes:
    """A report's bytes.

    Args:
        openings: Per number of a self-test subset this member is in, the CID of its partial opening.
    """
    rows = [[number, codec.link(blob_link(cid))] for number, cid in sorted(openings.items())]
    return codec.encode({"openings": rows})


def unpack_report(data: bytes) -> dict[int, str]:
    """The inverse of `pack_report`.

    Raises:
        LyingPeer: Not a report.
    """
    try:
        content = as_map("report", codec.decode(data, _LIMIT))
        check_keys("report", content, frozenset({"openings"}))
        rows = as_tuple("openings", content["openings"])
        check_tuple("openings", rows, 0, MAX_SUBSETS)
        return dict(_row(number, row) for number, row in enumerate(rows))
    except LedgerError as error:
        raise LyingPeer(f"self-test report: {error}") from None


def _row(number: int, row: object) -> tuple[int, str]:
    pair = as_tuple(f"openings[{number}]", row)
    check_tuple(f"openings[{number}]", pair, 2, 2)
    subset, link = pair
    check_integer(f"openings[{number}][0]", subset, 0, MAX_SUBSETS)
    return int(str(subset)), blob_cid(codec.linked(f"openings[{number}][1]", link))
