"""Frames between a daemon and its worker process, over a local socket.

    head length   4 bytes, big-endian, at most 1 MiB
    head          JSON of one message and the segments that follow: ``{"kind", "fields", "segments": [[type, count]…]}``
    segments      raw little-endian values: ``f4`` float32, ``u1`` bytes

Nothing is pickled, so bytes from a process that hostile images were decoded in can only be wrong values, never code. Arrays
are sent from their memory and received into fresh arrays of the announced length, which is bounded first.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from pydantic_core import from_json

from node.errors import WorkProblem
from node.learning.modelfile import MAX_PARAMETERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_HEAD_BYTES: Final = 2**20
MAX_SEGMENTS: Final = 8
MAX_SEGMENT_BYTES: Final = 20 * MAX_PARAMETERS
"""A checkpoint of the largest network: parameters, two moments, the best epoch's, and their frame."""

_LENGTH: Final = struct.Struct(">I")
_TYPES: Final[dict[str, np.dtype[Any]]] = {"f4": np.dtype("<f4"), "u1": np.dtype("u1")}

Segment = np.ndarray[Any, np.dtype[Any]]
"""One-dimensional, float32 or uint8."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One message as it travels."""

    kind: str
    """The message's name."""
    fields: dict[str, Any]
    """Its plain fields."""
    segments: tuple[Segment, ...] = ()
    """Its arrays, in the message's order."""


class Channel:
    """One end of the socket; frames are sent whole from any thread, and received by one thread.

    Args:
        end: A connected stream socket.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._sending = threading.Lock()

    def send(self, frame: Frame, seconds: float | None = None) -> None:
        """Send a frame.

        Args:
            frame: The frame.
            seconds: How long the other side may take none of it; None: as the last `receive` said.

        Raises:
            OSError: The other side is gone, or took too long (TimeoutError).
        """
        segments = [_plain(segment) for segment in frame.segments]
        listed = [[_name(segment), segment.size] for segment in segments]
        head = json.dumps({"kind": frame.kind, "fields": frame.fields, "segments": listed}).encode()
        with self._sending:
            if seconds is not None:
                self._end.settimeout(seconds)
            self._end.sendall(_LENGTH.pack(len(head)) + head)
            for segment in segments:
                self._end.sendall(segment.data.cast("B") if segment.size else b"")

    def receive(self, seconds: float | None = None) -> Frame | None:
        """The next frame; None once the other side is gone.

        Args:
            seconds: How long to wait for each part of it; None: for ever.

        Raises:
            TimeoutError: It did not come in time.
            WorkProblem: What came is no frame, or larger than any message.
        """
        self._end.settimeout(seconds)
        try:
            (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size).tobytes())
            if not 2 <= length <= MAX_HEAD_BYTES:
                raise WorkProblem(f"worker: a frame's head of {length} bytes, expected 2 to {MAX_HEAD_BYTES}")
            head = _parsed(self._exactly(length).tobytes())
            return Frame(head["kind"], head["fields"], tuple(self._array(*each) for each in head["segments"]))
        except (EOFError, ConnectionError):
            return None

    def close(self) -> None:
        """Let go of the socket; the other side sees it at once."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)
        self._end.close()

    def _exactly(self, count: int) -> Segment:
        return self._array("u1", count)

    def _array(self, name: str, count: int) -> Segment:
        found = np.empty(count, _TYPES[name])
        view = found.data.cast("B") if count else memoryview(b"")
        at = 0
        while at < len(view):
            got = self._end.recv_into(view[at:])
            if not got:
                raise EOFError
            at += got
        return found


def _plain(segment: NDArray[Any]) -> Segment:
    flat: Segment = np.ascontiguousarray(segment).reshape(-1)
    return flat


def _name(segment: Segment) -> str:
    found = next((name for name, dtype in _TYPES.items() if segment.dtype == dtype), None)
    if found is None or segment.nbytes > MAX_SEGMENT_BYTES:
        raise WorkProblem(
            f"worker: {segment.size} values of {segment.dtype} cannot be sent, expected at most {MAX_SEGMENT_BYTES} bytes of "
            "float32 or uint8"
        )
    return found


def _parsed(data: bytes) -> dict[str, Any]:
    """A head whose parts have their types and whose segments are bounded."""
    try:
        head = from_json(data)  # bounds its depth itself, whatever the interpreter's limit is
    except ValueError as error:
        raise WorkProblem(f"worker: a frame's head is no JSON ({error})") from None
    if not isinstance(head, dict) or set(head) != {"kind", "fields", "segments"}:
        raise WorkProblem("worker: a frame's head has not the keys kind, fields and segments")
    if not isinstance(head["kind"], str) or not isinstance(head["fields"], dict):
        raise WorkProblem("worker: a frame's kind is no text, or its fields are no object")
    _verify_segments(head["segments"])
    return head


def _verify_segments(listed: Any) -> None:
    if not isinstance(listed, list) or len(listed) > MAX_SEGMENTS:
        raise WorkProblem(f"worker: a frame's segments are no list of at most {MAX_SEGMENTS}")
    for each in listed:
        fits = isinstance(each, list) and len(each) == 2 and isinstance(each[0], str) and type(each[1]) is int
        if not fits or each[0] not in _TYPES or not 0 <= each[1] * _TYPES[each[0]].itemsize <= MAX_SEGMENT_BYTES:
            raise WorkProblem(f"worker: segment {each!r:.60} is not f4 or u1 of at most {MAX_SEGMENT_BYTES} bytes")
