"""A network that finds lungs, as a file: one canonical form, so that its sha2-256 names it for everybody.

Canonical CBOR (RFC 8949, 4.2.1) of one map:

    format        "medweave/lungs"
    version       1
    architecture  "segcaps"
    layout        32 bytes that fix order, names and shapes of the tensors, see ``parameters.layout_digest``
    classes       what the values of its masks stand for, 2 to 16 texts
    lungs         which of them are lung, ascending, one or more
    image_size    pixels a side that it was trained on and is asked at, 32 to 256, a multiple of 4
    synthetic     whether it learnt from drawn slices
    slices        how many it learnt from
    dice_ppm      agreement with masks of patients held out, by class, millionths; null where none has the class
    parameters    little-endian float32, all finite

Nothing is run to read it. This module needs no torch.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cbor2
import numpy as np

from node.learning.errors import MalformedLungs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT: Final = "medweave/lungs"
VERSION: Final = 1
ARCHITECTURE: Final = "segcaps"
MAX_BYTES: Final = 16 * 2**20
"""Of a file; the network needs 0.7 MB."""
MAX_CLASSES: Final = 16
MAX_NAME: Final = 256
"""Characters of a class name."""
SIZES: Final = range(32, 257, 4)
"""Pixels a side it may be asked at."""


@dataclass(frozen=True, slots=True, eq=False)
class LungFile:
    """The content of a file."""

    class_names: tuple[str, ...]
    """What the values of its masks stand for."""
    lungs: tuple[int, ...]
    """Which of them are lung, ascending."""
    image_size: int
    """Pixels a side it is asked at."""
    synthetic: bool
    """Whether it learnt from drawn slices."""
    slices: int
    """How many it learnt from."""
    dice_ppm: tuple[int | None, ...]
    """Agreement with masks of patients held out, by class, in millionths; None where none has the class."""
    layout: bytes
    """32 bytes that fix the order of ``vector``."""
    vector: NDArray[np.float32]
    """Every parameter, ``[D]``."""

    def to_bytes(self) -> bytes:
        """The canonical bytes."""
        fields = {
            "format": FORMAT,
            "version": VERSION,
            "architecture": ARCHITECTURE,
            "layout": self.layout,
            "classes": list(self.class_names),
            "lungs": list(self.lungs),
            "image_size": self.image_size,
            "synthetic": self.synthetic,
            "slices": self.slices,
            "dice_ppm": list(self.dice_ppm),
            "parameters": self.vector.astype("<f4", copy=False).tobytes(),
        }
        return cbor2.dumps(fields, canonical=True)

    @classmethod
    def from_bytes(cls, data: bytes) -> LungFile:
        """What the bytes hold; ``to_bytes`` of it gives them back.

        Raises:
            MalformedLungs: not canonical, a field missing or unknown, or of a wrong type or range; names it.
        """
        fields = _decoded(data)
        names = _names(fields["classes"])
        return cls(
            class_names=names,
            lungs=_lungs(fields["lungs"], len(names)),
            image_size=_one_of("image_size", fields["image_size"], SIZES),
            synthetic=_flag(fields["synthetic"]),
            slices=_one_of("slices", fields["slices"], range(1, 2**31)),
            dice_ppm=_shares(fields["dice_ppm"], len(names)),
            layout=_octets("layout", fields["layout"], 32),
            vector=_vector(fields["parameters"]),
        )


def digest_of(data: bytes) -> str:
    """The name of a file's network: sha2-256 (FIPS 180-4) of its bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def read_lungs(path: Path) -> tuple[LungFile, str]:
    """The content of a file, and its network's name.

    Raises:
        MalformedLungs: it cannot be read, or is no such file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise MalformedLungs(f"lung network {path}: cannot be read ({error.strerror})") from None
    try:
        return LungFile.from_bytes(data), digest_of(data)
    except MalformedLungs as error:
        raise MalformedLungs(f"{path}: {error}") from None


def write_lungs(content: LungFile, path: Path) -> str:
    """Write a file, replacing ``path`` whole or not at all; its network's name.

    Raises:
        MalformedLungs: it cannot be written.
    """
    data = content.to_bytes()
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MalformedLungs(
            f"lung network {path}: cannot be written ({error.strerror}); check folder and space"
        ) from None
    return digest_of(data)


_FIELDS: Final = frozenset(
    {
        *("format", "version", "architecture", "layout", "classes", "lungs"),
        *("image_size", "synthetic", "slices", "dice_ppm", "parameters"),
    }
)


def _decoded(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise MalformedLungs(f"lung network: more than {MAX_BYTES} bytes; give what `medweave lungs train` wrote")
    try:
        fields: Any = cbor2.loads(data)
        canonical = isinstance(fields, dict) and cbor2.dumps(fields, canonical=True) == data
    except (cbor2.CBORError, RecursionError, ValueError, TypeError, OverflowError) as error:
        raise MalformedLungs(f"lung network: no CBOR ({error}); give what `medweave lungs train` wrote") from None
    if not canonical:
        raise MalformedLungs("lung network: not one canonical map; give what `medweave lungs train` wrote")
    if set(fields) != _FIELDS:
        odd = sorted(map(str, set(fields) ^ _FIELDS))
        raise MalformedLungs(f"lung network: field {odd[0][:80]} is missing or unknown")
    for name, expected in (("format", FORMAT), ("version", VERSION), ("architecture", ARCHITECTURE)):
        if fields[name] != expected or type(fields[name]) is not type(expected):
            raise MalformedLungs(f"lung network: field {name} is {str(fields[name])[:80]!r}, expected {expected!r}")
    found: dict[str, Any] = fields
    return found


def _wrong(field: str, expected: str) -> MalformedLungs:
    return MalformedLungs(f"lung network: field {field} is not {expected}")


def _names(value: Any) -> tuple[str, ...]:
    if (
        not isinstance(value, list)
        or not 2 <= len(value) <= MAX_CLASSES
        or not all(isinstance(name, str) and 1 <= len(name) <= MAX_NAME and name.isprintable() for name in value)
        or len(set(value)) != len(value)
    ):
        raise _wrong("classes", f"2 to {MAX_CLASSES} distinct names of 1 to {MAX_NAME} printable characters")
    return tuple(value)


def _lungs(value: Any, classes: int) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or not 1 <= len(value) < classes
        or not all(type(each) is int and 0 <= each < classes for each in value)
        or sorted(set(value)) != value
    ):
        raise _wrong("lungs", f"an ascending list of some of the classes 0 to {classes - 1}")
    return tuple(value)


def _shares(value: Any, classes: int) -> tuple[int | None, ...]:
    if (
        not isinstance(value, list)
        or len(value) != classes
        or not all(each is None or (type(each) is int and 0 <= each <= 1_000_000) for each in value)
    ):
        raise _wrong("dice_ppm", f"a whole number of 0 to 1000000, or null, for each of {classes} classes")
    return tuple(value)


def _one_of(field: str, value: Any, allowed: range) -> int:
    if type(value) is not int or value not in allowed:
        step = f" in steps of {allowed.step}" if allowed.step > 1 else ""
        raise _wrong(field, f"a whole number of {allowed[0]} to {allowed[-1]}{step}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong("synthetic", "true or false")
    return value


def _octets(field: str, value: Any, count: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != count:
        raise _wrong(field, f"{count} bytes")
    return value


def _vector(value: Any) -> NDArray[np.float32]:
    if not isinstance(value, bytes) or not value or len(value) % 4:
        raise _wrong("parameters", "float32 values")
    found = np.frombuffer(value, "<f4").astype(np.float32)
    if not np.isfinite(found).all():
        raise _wrong("parameters", "all finite numbers")
    return found
