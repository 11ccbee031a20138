"""A file sealed under a password, written and read as a stream.

    MWBK 01 | 4 bytes: length of the key | the file's own key, protected by the password (Argon2id) | frames
    a frame: 1 byte: 1 for the last, else 0 | 4 bytes: length | an envelope (XChaCha20-Poly1305)

Every frame's envelope is bound to its number and to whether it is the last: frames that are altered, left out, exchanged or
cut off are found. Integers are big-endian. Memory does not grow with the file.
"""

from __future__ import annotations

import os
import struct
from io import RawIOBase
from typing import TYPE_CHECKING, Final

from crypto import envelope
from crypto.envelope import OVERHEAD, Binding
from crypto.errors import CryptoError
from crypto.secrets import ContentKey, protect, unprotect
from node.errors import BadInput, WrongPassword

if TYPE_CHECKING:
    from typing import BinaryIO

    from _typeshed import ReadableBuffer, WriteableBuffer

FRAME_BYTES: Final = 1 << 20
"""Plain bytes in every frame but the last."""

_HEADER: Final = struct.Struct(">4sBI")
_FRAME: Final = struct.Struct(">BI")
_MAGIC: Final = b"MWBK"
_VERSION: Final = 1
_LONGEST_KEY: Final = 4096


class SealedWriter(RawIOBase):
    """Writes what it is given into sealed frames; only `finish` makes the file whole.

    Args:
        target: The file, opened for writing.
        password: What opens it.
    """

    def __init__(self, target: BinaryIO, password: str) -> None:
        super().__init__()
        key = os.urandom(32)
        self._target, self._key = target, ContentKey(key)
        self._waiting, self._number = bytearray(), 0
        protected = protect(key, password)
        target.write(_HEADER.pack(_MAGIC, _VERSION, len(protected)) + protected)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes of any number."""
        view = memoryview(data).cast("B")
        self._waiting += view
        while len(self._waiting) > FRAME_BYTES:
            self._frame(bytes(self._waiting[:FRAME_BYTES]), last=False)
            del self._waiting[:FRAME_BYTES]
        return len(view)

    def finish(self) -> None:
        """Write the last frame; the target is left open."""
        self._frame(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _frame(self, plain: bytes, *, last: bool) -> None:
        sealed = envelope.seal(self._key, _binding(self._number, last=last), plain)
        self._target.write(_FRAME.pack(last, len(sealed)) + sealed)
        self._number += 1


class SealedReader(RawIOBase):
    """Reads what a `SealedWriter` wrote.

    Args:
        source: The file, opened for reading, at its beginning.
        password: What opens it.

    Raises:
        BadInput: The file is no backup, or one of a later version.
        WrongPassword: The password does not open it.
    """

    def __init__(self, source: BinaryIO, password: str) -> None:
        super().__init__()
        self._source = source
        head = source.read(_HEADER.size)
        if len(head) < _HEADER.size or head[:4] != _MAGIC:
            raise BadInput("this is no backup of a hospital's directory: `medweave backup` makes one")
        _, version, length = _HEADER.unpack(head)
        if version != _VERSION:
            raise BadInput(
                f"the backup is of version {version}, this Medweave reads version {_VERSION}: update it first"
            )
        if length > _LONGEST_KEY:
            raise BadInput(f"the backup is damaged: its key cannot be {length} bytes long")
        try:
            self._key = ContentKey(unprotect(source.read(length), password))
        except CryptoError as error:
            raise WrongPassword(f"the backup does not open: {error}") from None
        self._plain, self._number, self._ended = memoryview(b""), 0, False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, target: WriteableBuffer, /) -> int:
        """Give the next bytes; 0 at the end, which was reached whole.

        Raises:
            BadInput: A frame was altered, left out or cut off.
        """
        room = memoryview(target).cast("B")
        while not self._plain and not self._ended:
            self._next()
        size = min(len(room), len(self._plain))
        room[:size], self._plain = self._plain[:size], self._plain[size:]
        return size

    def _next(self) -> None:
        head = self._source.read(_FRAME.size)
        if len(head) < _FRAME.size:
            raise BadInput(f"the backup is cut off after {self._number} frames: take another copy of it")
        last, length = _FRAME.unpack(head)
        if last > 1 or length > FRAME_BYTES + OVERHEAD:
            raise BadInput(f"the backup is damaged: frame {self._number} cannot begin like this")
        sealed = self._source.read(length)
        try:
            self._plain = memoryview(envelope.open(self._key, _binding(self._number, last=bool(last)), sealed))
        except CryptoError:
            raise BadInput(f"the backup is damaged at frame {self._number}: take another copy of it") from None
        self._number += 1
        self._ended = bool(last)
        if self._ended and self._source.read(1):
            raise BadInput("the backup goes on after its end: it was tampered with")


def _binding(number: int, *, last: bool) -> Binding:
    return Binding("backup's last frame" if last else "backup", 0, number, b"")
