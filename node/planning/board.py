"""The members' newest data notices: heard, told on, kept in a hospital's directory, and counted for the timetable."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from node.errors import BadMotion
from node.home import write_private
from node.planning.notices import DataNotice, SignedNotice, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eth_account.signers.local import LocalAccount

    from chain.deployment import Deployment
    from node.consortium.view import ConsortiumView

log = logging.getLogger("medweave.plans")

MAX_REMEMBERED = 4096
"""Signatures that were looked at, so that hearing of them again costs nothing."""


class NoticeBoard:
    """Safe to use from several threads.

    Args:
        path: Where the notices are kept; a file that is damaged is begun anew, as peers tell theirs again.
        deployment: The consortium's contracts.
        view: Gives the newest view of the chain.
    """

    def __init__(self, path: Path, deployment: Deployment, view: Callable[[], ConsortiumView]) -> None:
        self._path = path
        self._deployment = deployment
        self._view = view
        self._lock = threading.Lock()
        self._newest: dict[str, SignedNotice] = {}
        self._seen: set[bytes] = set()
        try:
            for signed in unpack(path.read_bytes()):
                self._newest[signed.signer(deployment)] = signed
        except FileNotFoundError:
            pass
        except BadMotion as error:
            log.warning("%s: %s; begun anew", path, error)

    def of(self, account: str) -> DataNotice | None:
        """The newest notice of an account (checksummed hex), or None."""
        signed = self._newest.get(account)
        return None if signed is None else signed.notice

    def fresh(self, view: ConsortiumView) -> frozenset[int]:
        """Seats of the present members that have announced new data since the last finalised round."""
        last = max((number for number, row in view.rounds.items() if row.finalised), default=0)
        with self._lock:
            return frozenset(
                seat
                for seat, hospital in view.present
                if (signed := self._newest.get(hospital.account)) is not None and signed.notice.after >= last
            )

    def announce(self, images: int, digest: bytes, account: LocalAccount) -> bool:
        """Sign that this hospital's images are these now, unless that is what it said last.

        Args:
            images: How many it trains on.
            digest: Of their data card.
            account: Its key.

        Returns:
            Whether anything changed.
        """
        last = self.of(str(account.address))
        if last is not None and last.digest == digest:
            return False
        made_at = max(int(time.time()), last.made_at + 1 if last else 0)
        newest = max(self._view().rounds, default=0)
        notice = DataNotice(images=images, digest=digest, after=newest, made_at=made_at)
        self._keep(str(account.address), SignedNotice.make(notice, self._deployment, account))
        return True

    def told(self) -> bytes:
        """What this node tells its peers: the newest notice of every present member."""
        present = {hospital.account for _, hospital in self._view().present}
        with self._lock:
            return pack(signed for account, signed in self._newest.items() if account in present)

    def heard(self, message: bytes) -> bool:
        """Take in what a peer tells; older notices, and those of nobody who is a member, are passed over.

        Returns:
            Whether anything was new.

        Raises:
            BadMotion: The message is malformed; nothing of it was taken in.
        """
        taken = [self._take(signed) for signed in unpack(message)]
        return any(taken)

    def _take(self, signed: SignedNotice) -> bool:
        view = self._view()
        if signed.signature in self._seen or signed.notice.after > max(view.rounds, default=0):
            return False  # told again later, when this node knows the round as well
        try:
            account = signed.signer(self._deployment)
        except BadMotion as error:
            log.info("passed over: %s", error)
            return False
        if account not in {hospital.account for _, hospital in view.present}:
            return False
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.clear()
        self._seen.add(signed.signature)
        known = self.of(account)
        if known is not None and signed.notice.age <= known.age:
            return False
        self._keep(account, signed)
        log.info("new data announced by %s: %d images", account, signed.notice.images)
        return True

    def _keep(self, account: str, signed: SignedNotice) -> None:
        with self._lock:
            self._newest[account] = signed
            write_private(self._path, pack(self._newest.values()))
