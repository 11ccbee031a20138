"""Reading blobs during a check: what is damaged or missing goes into the link that asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.storage import BadCid, raw_cid

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.audit.evidence import Evidence
    from node.audit.notes import Link


class Reader:
    """Gets blobs for the checks.

    Args:
        evidence: Where blobs come from.
        keep: Told name (`blobs/<CID>`, `envelopes/<round>.json`) and bytes of all that a check needs, some more than once.
    """

    def __init__(self, evidence: Evidence, keep: Callable[[str, bytes], None] | None = None) -> None:
        self._evidence = evidence
        self._keep = keep
        self._named: set[tuple[str, str]] = set()

    def read(self, cid: str, what: str, link: Link) -> bytes | None:
        """The blob, checked against its CID; None, with the reason noted against `link`, where there is no intact copy.

        A damaged copy falsifies the link that needs it, even where an intact one was found elsewhere: somebody presents
        as evidence what is none. Each is named once.

        Args:
            cid: The blob.
            what: What it is to a person, such as `chunk 3 of update 1f…`.
            link: Takes the notes.
        """
        data, damaged = self._look(cid, what, link, missing=True)
        if data is None and damaged:
            link.unchecked(cid, f"{what}: no intact copy was found")
        return self._kept(cid, data)

    def read_digest(self, digest: bytes, what: str, link: Link) -> bytes | None:
        """`read` for a blob of at most 256 KiB known by its sha2-256 digest alone."""
        return self.read(raw_cid(digest), what, link)

    def peek(self, cid: str, what: str, link: Link) -> bytes | None:
        """`read` for a blob that is good to have: damage is noted, absence is not."""
        return self._kept(cid, self._look(cid, what, link, missing=False)[0])

    def glance(self, cid: str, what: str, link: Link) -> None:
        """Note damage of a blob whose content no check needs."""
        self._look(cid, what, link, missing=False)

    def _kept(self, cid: str, data: bytes | None) -> bytes | None:
        if data is not None and self._keep is not None:
            self._keep(f"blobs/{cid}", data)
        return data

    def envelope(self, number: int) -> bytes | None:
        """The signed envelope of a round's statement, unchecked; None where no place has it."""
        data = self._evidence.envelope(number)
        if data is not None and self._keep is not None:
            self._keep(f"envelopes/{number}.json", data)
        return data

    def _look(self, cid: str, what: str, link: Link, *, missing: bool) -> tuple[bytes | None, bool]:
        try:
            seen = self._evidence.look(cid)
        except BadCid as error:
            link.falsified(cid, f"{what}: {error}")
            return None, False
        for damage in seen.damaged:
            if (damage.cid, damage.where) not in self._named:
                self._named.add((damage.cid, damage.where))
                spare = "; an intact copy elsewhere was used" if seen.data is not None else ""
                link.falsified(cid, f"{what} in {damage.where} is damaged: {damage.problem}{spare}")
        if seen.data is None and not seen.damaged and missing:
            places = ", ".join(seen.absent[:4]) + (" and more" if len(seen.absent) > 4 else "")
            link.unchecked(cid, f"{what} is missing in {places or 'every place named'}")
        return seen.data, bool(seen.damaged)
