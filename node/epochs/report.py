"""A member's receipt and its part in the self-test, in dag-cbor.

Posting it says: I hold a checked share of every dealer, they make this joint key, and these are my openings of its vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from dag import codec
from dag.errors import LedgerError
from dag.fields import as_map, as_tuple, check_digest, check_integer, check_keys, check_tuple
from dag.ids import blob_cid, blob_link
from node.errors import LyingPeer

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SUBSETS = 512
_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Report:
    """What a member reports once it has checked all dealings."""

    joint: bytes
    """Digest of the joint key that the dealings it received and checked make, 32 bytes: the receipt."""
    openings: Mapping[int, str]
    """Per number of a self-test subset this member is in, the CID of its partial opening."""


def pack_report(report: Report) -> bytes:
    """A report's bytes."""
    rows = [[number, codec.link(blob_link(cid))] for number, cid in sorted(report.openings.items())]
    return codec.encode({"joint": report.joint, "openings": rows})


def unpack_report(data: bytes) -> Report:
    """The inverse of `pack_report`.

    Raises:
        LyingPeer: Not a report.
    """
    try:
        content = as_map("report", codec.decode(data, _LIMIT))
        check_keys("report", content, frozenset({"joint", "openings"}))
        check_digest("joint", content["joint"])
        rows = as_tuple("openings", content["openings"])
        check_tuple("openings", rows, 0, MAX_SUBSETS)
        return Report(cast("bytes", content["joint"]), dict(_row(number, row) for number, row in enumerate(rows)))
    except LedgerError as error:
        raise LyingPeer(f"self-test report: {error}") from None


def _row(number: int, row: object) -> tuple[int, str]:
    pair = as_tuple(f"openings[{number}]", row)
    check_tuple(f"openings[{number}]", pair, 2, 2)
    subset, link = pair
    check_integer(f"openings[{number}][0]", subset, 0, MAX_SUBSETS)
    return int(str(subset)), blob_cid(codec.linked(f"openings[{number}][1]", link))
