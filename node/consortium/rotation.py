"""A member goes on under another account in the ceremony that runs; in what has ended, the old account stays on record."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.consortium.records import EpochView


def rotated(epochs: Mapping[int, EpochView], old: bytes, new: bytes) -> Mapping[int, EpochView]:
    """The epochs after a member exchanged its account.

    Args:
        epochs: By number.
        old: Its account so far, 20 bytes.
        new: Its account from now on; the same where only its X25519 key changed.
    """
    if old == new:
        return epochs
    return MappingProxyType({number: _followed(epoch, old, new) for number, epoch in epochs.items()})


def _followed(epoch: EpochView, old: bytes, new: bytes) -> EpochView:
    if epoch.refreshing is not None:
        return replace(epoch, refreshes=(*epoch.refreshes[:-1], _renamed(epoch.refreshing, old, new)))
    return _renamed(epoch, old, new) if epoch.running else epoch


def _renamed(record: EpochView, old: bytes, new: bytes) -> EpochView:
    def name(address: bytes) -> bytes:
        return new if address == old else address

    def keyed(table: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        return MappingProxyType({name(member): digest for member, digest in table.items()})

    return replace(
        record,
        members=tuple(map(name, record.members)),
        announcements=keyed(record.announcements),
        commitments=keyed(record.commitments),
        dealings=keyed(record.dealings),
        reports=keyed(record.reports),
        confirmations=keyed(record.confirmations),
        complaints=tuple(replace(c, member=name(c.member), offender=name(c.offender)) for c in record.complaints),
    )
