"""Files that are made to break a decoder: each is refused in our own words, none brings the reader down."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from node.images.errors import Unusable
from node.images.upload import read_upload


def npy(header: str, body: bytes = b"\0" * 512) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def described(kind: str = "'<i2'", shape: str = "(16, 16)") -> bytes:
    return npy(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}")


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([[print, 2], [3, 4]], dtype=object), allow_pickle=True)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, packed: bytes, *more: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


HOSTILE = {
    "a pickle": pickled(),
    "objects": described("'|O'"),
    "records": described("[('a', '<i2')]"),
    "brackets without end": npy("(" * 9000),
    "signs without end": npy("-" * 9000),
    "nested": npy("[" * 4500 + "]" * 4500),
    "keys of two kinds": npy("{b'descr': '<i2', 'fortran_order': False, 'shape': (16, 16)}"),
    "a truth as a length": described(shape="(True, 256)"),
    "negative": described(shape="(-16, -16)"),
    "larger than any number": described(shape="(99999999999999999999, 1)"),
    "a header that is cut off": b"\x93NUMPY\x01\x00\xff\xff",
    "a bomb of pixels": png(60_000, 60_000, zlib.compress(b"\0" * 1000)),
    "a bomb of text": png(
        16, 16, zlib.compress(b"\0" * 272), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 100_000_000))
    ),
    "no chunk": b"\x89PNG\r\n\x1a\n",
    "a short head": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", b"\0\0\0"),
    "no segment": b"\xff\xd8\xff",
    "dicom and nothing": b"\0" * 128 + b"DICM",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_is_made_to_break_a_decoder_is_refused(kind):
    with pytest.raises(Unusable) as caught:
        read_upload(HOSTILE[kind])
    assert len(str(caught.value)) < 200, "nothing of the file is quoted at length"


@pytest.mark.parametrize("kind", ["png", "jpeg", "npy"])
def test_damage_anywhere_is_an_image_or_a_refusal(kind):
    file, drawn = io.BytesIO(), random.Random(7)
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.save(file, values) if kind == "npy" else Image.fromarray(values).save(file, kind)
    for _ in range(300):
        data = bytearray(file.getvalue())
        for _ in range(drawn.randint(1, 5)):
            place = drawn.randrange(len(data))
            data[place : place + drawn.randint(0, 3)] = drawn.randbytes(drawn.randint(0, 3))
        try:
            assert read_upload(bytes(data)).dtype == np.uint8
        except Unusable:
            continue
