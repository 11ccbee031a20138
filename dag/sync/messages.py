"""What nodes say to each other about the ledger: canonical DAG-CBOR, versioned, bounded.

| kind | fields | means |
|---|---|---|
| announce | ids | I have these |
| push | transactions | these are mine, and new |
| request | number, ids | send me these |
| answer | number, transactions, absent | here they are; those under `absent` I do not have |
| frontier | count, tips, reply | so many transactions I hold, and nobody approves these yet; tell me yours if `reply` |
| range-request | number, after, until | send me what you attached after the first of `after` that you have, as far as `until` |
| range | number, transactions, more | the next page of it, parents before children; ask again after its last if `more` |

A message is a map with `version` 1, `kind`, and exactly the fields of its kind. `parse` accepts nothing that `Message.encode`
would write differently. Whether the bytes inside are transactions, the ledger says.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Final, Self

from dag import codec
from dag.errors import MalformedMessage, MalformedTransaction
from dag.fields import U53, as_map, check_digest, check_integer, check_keys, check_tuple
from dag.transaction import MAX_BYTES

VERSION: Final = 1
MEDIA_TYPE: Final = "application/vnd.ipld.dag-cbor"
MAX_TRANSACTIONS: Final = 1024
"""Most transactions in one message."""
MAX_CONTENT_BYTES: Final = 1024 * 1024
"""Most bytes of transactions in one message."""
MAX_MESSAGE_BYTES: Final = MAX_CONTENT_BYTES + 64 * 1024
"""Most bytes of one message: its transactions, and what names them."""
MAX_ANNOUNCED: Final = 1024
"""Most ids in one announcement."""
MAX_REQUESTED: Final = 256
"""Most ids in one request."""
MAX_TIPS: Final = 256
"""Most tips in one frontier; of more a sample is sent."""
MAX_AFTER: Final = 64
"""Most places to begin at in one range request."""


@dataclass(frozen=True)
class Message:
    """Base of the seven kinds; checks its fields when it is made.

    Raises:
        MalformedMessage: a field is out of range.
    """

    KIND: ClassVar[str]

    def __post_init__(self) -> None:
        try:
            self.check()
        except MalformedTransaction as error:
            raise MalformedMessage(error.field, error.reason) from None

    def check(self) -> None:
        """Demands what the kind's fields may be. Raises MalformedTransaction naming the field."""

    def encode(self) -> bytes:
        """The canonical bytes, at most `MAX_MESSAGE_BYTES`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return codec.encode({"version": VERSION, "kind": self.KIND, **values})

    @classmethod
    def from_map(cls, content: dict[str, object]) -> Self:
        """The message of this kind in a decoded map. Raises MalformedTransaction naming the field."""
        names = [field.name for field in fields(cls)]
        check_keys("", content, frozenset(("version", "kind", *names)))
        values = {name: content[name] for name in names}
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


@dataclass(frozen=True)
class Announce(Message):
    """Ids that the sender has.

    Attributes:
        ids: transaction ids (32 bytes each), 1 … 1,024.
    """

    KIND: ClassVar[str] = "announce"
    ids: tuple[bytes, ...]

    def check(self) -> None:
        """See `Message.check`."""
        _check_ids("ids", self.ids, 1, MAX_ANNOUNCED)


@dataclass(frozen=True)
class Push(Message):
    """Transactions that the sender made, in full: one trip less than announcing them.

    Attributes:
        transactions: canonical bytes, parents before children, 1 … 1,024 of at most 1 MiB together.
    """

    KIND: ClassVar[str] = "push"
    transactions: tuple[bytes, ...]

    def check(self) -> None:
        """See `Message.check`."""
        _check_raws("transactions", self.transactions, 1)


@dataclass(frozen=True)
class Request(Message):
    """A question for transactions by id.

    Attributes:
        number: chosen by the asker; the answer repeats it.
        ids: transaction ids (32 bytes each), 1 … 256, all different.
    """

    KIND: ClassVar[str] = "request"
    number: int
    ids: tuple[bytes, ...]

    def check(self) -> None:
        """See `Message.check`."""
        check_integer("number", self.number, 0, U53)
        _check_ids("ids", self.ids, 1, MAX_REQUESTED)


@dataclass(frozen=True)
class Answer(Message):
    """What came of a request. What is neither here nor absent did not fit; it may be asked for again.

    Attributes:
        number: the request's.
        transactions: canonical bytes of those that fit, at most 1,024 of 1 MiB together.
        absent: asked ids that the sender does not have, at most 256.
    """

    KIND: ClassVar[str] = "answer"
    number: int
    transactions: tuple[bytes, ...]
    absent: tuple[bytes, ...]

    def check(self) -> None:
        """See `Message.check`."""
        check_integer("number", self.number, 0, U53)
        _check_raws("transactions", self.transactions, 0)
        _check_ids("absent", self.absent, 0, MAX_REQUESTED)


@dataclass(frozen=True)
class Frontier(Message):
    """What stands for everything that the sender has attached.

    Attributes:
        count: how many transactions it holds, genesis included.
        tips: ids (32 bytes each) that nobody approves yet, 1 … 256 of them.
        reply: whether the sender wants to hear the receiver's frontier.
    """

    KIND: ClassVar[str] = "frontier"
    count: int
    tips: tuple[bytes, ...]
    reply: bool

    def check(self) -> None:
        """See `Message.check`."""
        check_integer("count", self.count, 1, U53)
        _check_ids("tips", self.tips, 1, MAX_TIPS)
        _check_flag("reply", self.reply)


@dataclass(frozen=True)
class RangeRequest(Message):
    """A question for a page of the order in which the asked node attached its transactions.

    Attributes:
        number: chosen by the asker; the answer repeats it.
        after: ids (32 bytes each), 1 … 64; the page begins after the first of them that the asked node has, with genesis as
            the last resort.
        until: id to end with, or None for everything.
    """

    KIND: ClassVar[str] = "range-request"
    number: int
    after: tuple[bytes, ...]
    until: bytes | None

    def check(self) -> None:
        """See `Message.check`."""
        check_integer("number", self.number, 0, U53)
        _check_ids("after", self.after, 1, MAX_AFTER)
        if self.until is not None:
            check_digest("until", self.until)


@dataclass(frozen=True)
class Range(Message):
    """A page that was asked for.

    Attributes:
        number: the request's.
        transactions: canonical bytes, parents before children, at most 1,024 of 1 MiB together.
        more: whether the range goes on after the last of them; only if there is a last one.
    """

    KIND: ClassVar[str] = "range"
    number: int
    transactions: tuple[bytes, ...]
    more: bool

    def check(self) -> None:
        """See `Message.check`."""
        check_integer("number", self.number, 0, U53)
        _check_flag("more", self.more)
        _check_raws("transactions", self.transactions, 1 if self.more else 0)


KINDS: Final = {kind.KIND: kind for kind in (Announce, Push, Request, Answer, Frontier, RangeRequest, Range)}


def parse(raw: bytes) -> Message:
    """The message in bytes from a hostile sender.

    Raises:
        MalformedMessage: too long, not canonical DAG-CBOR, of another version or kind, or a field is out of range.
    """
    try:
        content = as_map("bytes", codec.decode(raw, MAX_MESSAGE_BYTES))
        version, kind = content.get("version"), content.get("kind")
        if version != VERSION or isinstance(version, bool):
            raise MalformedMessage("version", f"this node speaks version {VERSION}; update the older of the two nodes")
        if not isinstance(kind, str) or kind not in KINDS:
            raise MalformedMessage("kind", f"{str(kind)[:40]!r} is none of {', '.join(KINDS)}")
        return KINDS[kind].from_map(content)
    except MalformedTransaction as error:
        raise MalformedMessage(error.field, error.reason) from None


def is_question(raw: bytes) -> bool:
    """Whether a message asks for an answer.

    Raises:
        MalformedMessage: as `parse`.
    """
    message = parse(raw)
    return isinstance(message, Request | RangeRequest) or (isinstance(message, Frontier) and message.reply)


def _check_ids(field: str, value: object, low: int, high: int) -> None:
    ids = _entries(field, value, low, high)
    for number, tx_id in enumerate(ids):
        check_digest(f"{field}[{number}]", tx_id)
    if len(set(ids)) != len(ids):
        raise MalformedTransaction(field, "an id stands here twice")


def _check_raws(field: str, value: object, low: int) -> None:
    size = 0
    for number, raw in enumerate(_entries(field, value, low, MAX_TRANSACTIONS)):
        if not isinstance(raw, bytes):
            raise MalformedTransaction(f"{field}[{number}]", f"expected bytes, found {type(raw).__name__}")
        if not 0 < len(raw) <= MAX_BYTES:
            raise MalformedTransaction(f"{field}[{number}]", f"{len(raw)} bytes, expected 1…{MAX_BYTES}")
        size += len(raw)
    if size > MAX_CONTENT_BYTES:
        raise MalformedTransaction(field, f"{size} bytes together, at most {MAX_CONTENT_BYTES} are accepted")


def _entries(field: str, value: object, low: int, high: int) -> tuple[object, ...]:
    check_tuple(field, value, low, high)
    return value if isinstance(value, tuple) else ()


def _check_flag(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise MalformedTransaction(field, f"expected true or false, found {type(value).__name__}")
