"""The layout manifest: which tensor lies where in the flat vector of values, and how it is scaled (CRY-6)."""

import hashlib
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crypto.errors import MalformedBytes, ValueOutOfRange
from crypto.wire import decode_record, encode_record, want_int

MAX_TENSORS: Final = 4096
MAX_DIMENSIONS: Final = 8
MAX_VALUES: Final = 1 << 31
_RANGE: Final = re.compile(r"(0|[1-9][0-9]{0,5})(\.[0-9]{0,11}[1-9])?")


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of the model, flattened in C order."""

    name: str
    """Its name in the model, 1 … 256 characters."""
    shape: tuple[int, ...]
    """Its dimensions; () is a single value."""
    range: str
    """The largest absolute value represented, as a plain decimal such as ``"0.05"``; anything beyond is clipped."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= 256:
            raise MalformedBytes("layout.name", "expected 1 to 256 characters")
        if len(self.shape) > MAX_DIMENSIONS:
            raise MalformedBytes(f"layout.{self.name}.shape", f"more than {MAX_DIMENSIONS} dimensions")
        for side in self.shape:
            want_int(side, 1, MAX_VALUES, f"layout.{self.name}.shape")
        if not _RANGE.fullmatch(self.range) or self.range == "0":
            raise MalformedBytes(f"layout.{self.name}.range", "expected a positive decimal without exponent, like 0.05")

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layout:
    """All tensors of a model in the order in which their values are sealed."""

    tensors: tuple[TensorSpec, ...]
    """At least one; names are distinct."""

    def __post_init__(self) -> None:
        names = {spec.name for spec in self.tensors}
        if not 1 <= len(self.tensors) <= MAX_TENSORS or len(names) != len(self.tensors):
            raise MalformedBytes("layout.tensors", f"expected 1 to {MAX_TENSORS} tensors with distinct names")
        want_int(self.size, 1, MAX_VALUES, "layout.size")

    @property
    def size(self) -> int:
        """D, the number of values of the whole model."""
        return sum(spec.size for spec in self.tensors)

    def steps(self, limit: int) -> NDArray[np.float64]:
        """Quantisation step of every value, float64 [D]: its tensor's range divided by ``limit``.

        Args:
            limit: largest absolute integer, the ``value_limit`` of the epoch.

        Raises:
            ValueOutOfRange: the limit is below 1.
        """
        return self.steps_between(limit, 0, self.size)

    def steps_between(self, limit: int, start: int, stop: int) -> NDArray[np.float64]:
        """:meth:`steps` of the values ``start`` … ``stop - 1`` alone, without making the others.

        Raises:
            ValueOutOfRange: the limit is below 1, or the values are not within 0 … D.
        """
        if limit < 1:
            raise ValueOutOfRange(f"the quantisation limit is {limit}, it must be at least 1")
        if not 0 <= start <= stop <= self.size:
            raise ValueOutOfRange(f"values {start} to {stop} of a layout of {self.size}")
        ends = np.clip(self._ends, start, stop)
        return np.repeat(self._ranges / limit, np.diff(ends, prepend=start))

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([spec.size for spec in self.tensors], dtype=np.int64)

    @cached_property
    def _ranges(self) -> NDArray[np.float64]:
        return np.array([float(spec.range) for spec in self.tensors])

    def to_bytes(self) -> bytes:
        """The one canonical byte form (dag-cbor)."""
        rows = [[spec.name, list(spec.shape), spec.range] for spec in self.tensors]
        return encode_record({"tensors": rows, "version": 1})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Layout":
        """The layout that :meth:`to_bytes` wrote.

        Raises:
            MalformedBytes: not canonical, or a field out of bounds (the field is named).
        """
        record = decode_record(data, frozenset({"tensors", "version"}), "layout")
        want_int(record["version"], 1, 1, "layout.version")
        if not isinstance(record["tensors"], list):
            raise MalformedBytes("layout.tensors", "expected a list")
        return cls(tuple(_spec(row) for row in record["tensors"]))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of :meth:`to_bytes`, 32 bytes; update transactions carry it."""
        return hashlib.sha256(self.to_bytes()).digest()


def _spec(row: Any) -> TensorSpec:
    match row:
        case [str(name), list(shape), str(limit)] if all(type(side) is int for side in shape):
            return TensorSpec(name, tuple(shape), limit)
    raise MalformedBytes("layout.tensors", "expected rows of [name, shape, range]")
