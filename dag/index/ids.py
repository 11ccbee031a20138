"""Ids in the order of attachment, and back: 32 bytes an id and 8 to 32 of hash table, half of what a dict takes.

Open addressing with linear probes over places, as in Knuth, TAOCP 3, section 6.4, algorithm L. Python's own hash of bytes
is keyed by a secret of the process, so nobody can prepare ids that collide. The table is split into shards that grow one by
one: no single attach waits while a million entries move.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from dag.errors import MalformedIdentifier
from dag.ids import ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHARDS: Final = 64  # a power of two; at a million ids growing one shard moves 16,000 places: 3 ms
_SHARD_BITS: Final = _SHARDS.bit_length() - 1
_SMALLEST: Final = 8
_GROWTH: Final = 4  # each place moves a third of a time on average; doubling would move it once, for less empty room
_FREE: Final = -1


class Ids:
    """A growing list of distinct ids that knows the place of each. Not thread-safe."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._size = 0
        self._shards = [array("i", [_FREE]) * _SMALLEST for _ in range(_SHARDS)]
        self._used = [0] * _SHARDS

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return (self[at] for at in range(self._size))

    def __getitem__(self, at: int) -> bytes:
        """The id at a place, 0 … len - 1.

        Raises:
            IndexError: there is no such place.
        """
        if not 0 <= at < self._size:
            raise IndexError(f"place {at} of {self._size} ids")
        return bytes(self._bytes[ID_BYTES * at : ID_BYTES * at + ID_BYTES])

    def find(self, tx_id: bytes) -> int:
        """The id's place; -1 if it is not there."""
        key = hash(tx_id)
        shard = self._shards[key & (_SHARDS - 1)]
        last = len(shard) - 1
        slot = (key >> _SHARD_BITS) & last
        while (at := shard[slot]) != _FREE:
            if self._bytes[ID_BYTES * at : ID_BYTES * at + ID_BYTES] == tx_id:
                return at
            slot = (slot + 1) & last
        return _FREE

    def add(self, tx_id: bytes) -> bool:
        """Puts an id at the next place; False if it has a place already.

        Raises:
            MalformedIdentifier: it is not 32 bytes long.
        """
        if len(tx_id) != ID_BYTES:
            raise MalformedIdentifier(f"an id has {ID_BYTES} bytes, found {len(tx_id)}")
        key = hash(tx_id)
        number = key & (_SHARDS - 1)
        shard = self._shards[number]
        if 2 * self._used[number] >= len(shard):
            shard = self._widen(number, _GROWTH * len(shard))
        last = len(shard) - 1
        slot = (key >> _SHARD_BITS) & last
        while (at := shard[slot]) != _FREE:
            if self._bytes[ID_BYTES * at : ID_BYTES * at + ID_BYTES] == tx_id:
                return False
            slot = (slot + 1) & last
        shard[slot] = self._size
        self._size += 1
        self._used[number] += 1
        self._bytes += tx_id
        return True

    def extend(self, ids: Sequence[bytes]) -> int:
        """Adds ids up to the first that is no id or has a place already; returns how many."""
        for number, tx_id in enumerate(ids):
            if len(tx_id) != ID_BYTES or not self.add(tx_id):
                return number
        return len(ids)

    def reserve(self, total: int) -> None:
        """Makes room for so many ids at once."""
        size = 1 << (2 * -(-total // _SHARDS)).bit_length()
        for number, shard in enumerate(self._shards):
            if len(shard) < size:
                self._widen(number, size)

    def _widen(self, number: int, size: int) -> array[int]:
        before = self._shards[number]
        after = self._shards[number] = array("i", [_FREE]) * size
        last = size - 1
        for at in before:
            if at != _FREE:
                slot = (hash(self[at]) >> _SHARD_BITS) & last
                while after[slot] != _FREE:
                    slot = (slot + 1) & last
                after[slot] = at
        return after
