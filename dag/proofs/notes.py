"""Signed notes: a text that people can read, and lines of signatures under it.

    <one line or more of text>
                                        one empty line
    — <key name> <base64 of 4 bytes of key id and the signature>
    …

The form is that of C2SP `signed-note`, the text of a checkpoint that of C2SP `tlog-checkpoint`: origin, number of leaves,
root in base64, then extension lines. A reader skips lines under keys that it does not know, and refuses the note if a line
under a key that it knows is false. This module only takes notes apart and puts them together; `dag.proofs.checkpoint` knows keys.
Source: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from dag.errors import MalformedNote
from dag.fields import U53
from dag.ids import ID_BYTES, sha256

MAX_NOTE_BYTES: Final = 1 << 20
MAX_SIGNATURES: Final = 512
MAX_LINE: Final = 256
KEY_ID_BYTES: Final = 4
UNREGISTERED_TYPE: Final = b"\xff"
"""Signature types without a byte of their own in C2SP are 0xff and a longer name."""

_DASH: Final = "\u2014 "


@dataclass(frozen=True)
class SignatureLine:
    """One signature under a note.

    Attributes:
        name: key name; not empty, no spaces, no plus sign.
        key_id: four bytes that follow from name, signature type and key (`key_id`).
        signature: what the signature type says it is; 1 byte or more.
    """

    name: str
    key_id: bytes
    signature: bytes

    def render(self) -> str:
        """The line, with its newline."""
        return f"{_DASH}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Note:
    """A text with signatures.

    Attributes:
        text: what is signed; lines that end in a newline each, none of them empty.
        signatures: the lines under it, in their order; one at least.
    """

    text: str
    signatures: tuple[SignatureLine, ...]

    def render(self) -> str:
        """The whole note."""
        return self.text + "\n" + "".join(line.render() for line in self.signatures)

    @classmethod
    def parse(cls, raw: bytes) -> Note:
        """The note in bytes from a hostile sender. No signature is checked.

        Raises:
            MalformedNote: names the line that is wrong.
        """
        text, gap, under = decode_text("note", raw, MAX_NOTE_BYTES).rpartition("\n\n")
        if not gap or not text:
            raise MalformedNote("note", "expected text, an empty line and signatures")
        lines = split_lines("signatures", under)
        if not 1 <= len(lines) <= MAX_SIGNATURES:
            raise MalformedNote("signatures", f"{len(lines)} lines, expected 1…{MAX_SIGNATURES}")
        if any(not line for line in text.split("\n")):
            raise MalformedNote("text", "a checkpoint has no empty line")
        return cls(text + "\n", tuple(_signature(f"signatures[{number}]", line) for number, line in enumerate(lines)))


@dataclass(frozen=True)
class TreeHead:
    """The text of a checkpoint: a Merkle tree at one size.

    Attributes:
        origin: names the tree, such as `medweave/<consortium>/log`; one line without spaces.
        size: number of leaves, 0 … 2^53 - 1.
        root: root (32 bytes) of the RFC 6962 tree over them.
        extensions: further lines, none empty.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def render(self) -> str:
        """The text that is signed."""
        lines = (self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> TreeHead:
        """The head that a note's text says.

        Raises:
            MalformedNote: names the line that is wrong.
        """
        lines = split_lines("text", text)
        if len(lines) < 3:
            raise MalformedNote("text", "a checkpoint has origin, size and root, a line each")
        origin, size, root, *extensions = lines
        if not origin or any(mark.isspace() for mark in origin) or len(origin) > MAX_LINE:
            raise MalformedNote("origin", f"expected 1…{MAX_LINE} characters without spaces")
        digest = parse_base64("root", root)
        if len(digest) != ID_BYTES:
            raise MalformedNote("root", f"{len(digest)} bytes, expected {ID_BYTES}")
        return cls(origin, parse_decimal("size", size), digest, tuple(extensions))


def key_id(name: str, signature_type: bytes, public_key: bytes) -> bytes:
    """The first four bytes of sha2-256(name ‖ 0x0A ‖ signature type ‖ public key).

    Args:
        name: the key's name.
        signature_type: the type's byte, or 0xff and a longer name.
        public_key: the key as the type writes it; here an address (20 bytes).
    """
    return sha256(name.encode() + b"\n" + signature_type + public_key)[:KEY_ID_BYTES]


def decode_text(field: str, raw: bytes, limit: int) -> str:
    """UTF-8 text without control characters but newlines, at most `limit` bytes, from a hostile sender.

    Raises:
        MalformedNote: it is something else.
    """
    if len(raw) > limit:
        raise MalformedNote(field, f"{len(raw)} bytes, at most {limit} are accepted")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedNote(field, f"not UTF-8 at byte {error.start}") from None
    for place, mark in enumerate(text):
        if mark < " " and mark != "\n":
            raise MalformedNote(field, f"control character {ord(mark):#04x} at character {place}")
    return text


def split_lines(field: str, text: str) -> list[str]:
    """The lines of a text that ends in a newline; none for the empty text.

    Raises:
        MalformedNote: the last line has no newline.
    """
    if not text:
        return []
    if not text.endswith("\n"):
        raise MalformedNote(field, "the last line has no newline; the file may be cut short")
    return text[:-1].split("\n")


def parse_decimal(field: str, text: str) -> int:
    """A whole number 0 … 2^53 - 1 in ASCII digits without leading zeros.

    Raises:
        MalformedNote: it is something else.
    """
    plain = text.isascii() and text.isdigit() and len(text) <= 16 and (text == "0" or text[0] != "0")
    if not plain or int(text) > U53:
        raise MalformedNote(field, f"{text[:40]!r} is no decimal number 0…2^53-1 without leading zeros")
    return int(text)


def parse_base64(field: str, text: str) -> bytes:
    """The bytes of canonical base64 (RFC 4648, section 4).

    Raises:
        MalformedNote: it is something else.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedNote(field, f"{text[:40]!r} is not base64") from None
    if base64.b64encode(data).decode() != text:
        raise MalformedNote(field, "base64 with spare bits")
    return data


def _signature(field: str, line: str) -> SignatureLine:
    if not line.startswith(_DASH):
        raise MalformedNote(field, "a signature line starts with an em dash and a space")
    name, gap, encoded = line[len(_DASH) :].partition(" ")
    if not gap or not name or "+" in name or len(name) > MAX_LINE or any(mark.isspace() for mark in name):
        raise MalformedNote(field, "expected a key name without spaces or plus, a space, and base64")
    data = parse_base64(field, encoded)
    if len(data) <= KEY_ID_BYTES:
        raise MalformedNote(field, f"{len(data)} bytes hold no key id and signature")
    return SignatureLine(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])
