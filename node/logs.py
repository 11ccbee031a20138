"""The daemon's log: one line an event, as text for people or as one JSON object for machines.

    {"time": "2026-11-21T09:30:00.123Z", "level": "warning", "logger": "medweave.rounds", "event": "round-taking-no-part",
     "message": "round 7: taking no part: …", "round": 7, "member": 2}

`event` names the place in the code and not its values: the literal template of the message with its fields taken out
(docs/reference/log.md lists them all). What is bound to the context (`bound`) and to the process (`everywhere`) stands on
every record made there: request, round, phase, member. Nothing of a patient is ever logged; what would open something
(a token, the password in a URL) is struck out on its way into the line, should a message carry it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from io import FileIO, TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any, Literal

from node.errors import BadEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Format = Literal["text", "json"]

FIELDS = ("request", "round", "phase", "member")
"""What may be bound to a record, in the order it is printed."""
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
NOISY = ("httpx", "httpcore", "uvicorn", "web3", "urllib3", "asyncio", "PIL", "numba")
"""Libraries whose informative lines say nothing to an operator; their warnings are kept."""
LONGEST_MESSAGE = 16_384
"""Characters of a message or traceback in one line; the rest is cut off, and the line says so."""
STRUCK_OUT = "[struck out]"

_FIELD = re.compile(r"%(?:\(\w+\))?[-#0 +]*[\d*]*(?:\.[\d*]+)?[a-zA-Z%]")
_REQUEST = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECRETS = (
    re.compile(r"\bmw_[A-Za-z0-9_-]{8,}"),
    re.compile(r"(?<=://)[^\s/@:]{0,200}:[^\s/@]{1,200}(?=@)"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
)
_bound: ContextVar[dict[str, Any] | None] = ContextVar("medweave-log", default=None)
_everywhere: dict[str, Any] = {}


@contextmanager
def bound(**fields: str | int | None) -> Iterator[None]:
    """Put fields on every record made inside, also in what is awaited there and in `asyncio.to_thread`.

    Args:
        **fields: Some of `FIELDS`; None takes one away. Other names are a fault of the caller and raise TypeError.
    """
    _check(fields)
    token = _bound.set({**(_bound.get() or {}), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def everywhere(**fields: str | int) -> None:
    """Put fields on every record of this process from now on, unless `bound` says otherwise."""
    _check(fields)
    _everywhere.update(fields)


def request_id(given: str | None) -> str:
    """The id of a request: the caller's own if it is one, a fresh one otherwise.

    Args:
        given: What the caller's `X-Request-Id` says; 1 to 64 letters, digits, `.`, `_` and `-`, or it is not taken.
    """
    if given is not None and _REQUEST.fullmatch(given):
        return given
    return secrets.token_hex(8)


def event_of(template: str, module: str, function: str) -> str:
    """The name of a log call: its literal template in lower case without fields.

    Where that leaves less than two words, the module's name comes first, and its function's where it leaves nothing.

    Args:
        template: The message as it stands in the code.
        module: The last part of the module's name.
        function: Name of the function it stands in.
    """
    words = re.findall(r"[a-z0-9]+", _FIELD.sub(" ", template).replace("'", "").lower())
    if len(words) < 2:
        words = [module, *(words or [function.strip("_")])]
    return "-".join(words)[:80].replace("_", "-")


def set_up(
    form: Format, level: int, *, file: Path | None = None, max_bytes: int = 0, keep: int = 0, stderr: bool = True
) -> None:
    """Send this process's log where its operator wants it; what was set up before is replaced.

    Args:
        form: `text` or `json`.
        level: Least level of this project's own records; libraries named in `NOISY` start at warnings.
        file: Write here, readable by the owner alone, instead of standard error.
        max_bytes: Begin a new file at this size; 0 never does.
        keep: So many older files are kept, as FILE.1, FILE.2 …
        stderr: False writes nowhere where no file is given.

    Raises:
        BadEnvironment: The file cannot be written.
    """
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
        old.close()
    handler = _file_handler(file, max_bytes, keep) if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    if file or stderr:
        root.addHandler(handler)
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class TextFormatter(logging.Formatter):
    """A line for people: time, level, logger, message, and in brackets the request it belongs to."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the library's name)
        r"""The line's head; line breaks inside a message are shown as `\n`, so that nobody can forge a second line."""
        head = super().formatMessage(record).replace("\n", "\\n").replace("\r", "\\r")
        request = fields_of(record).get("request")
        return head if request is None else f"{head} [{request}]"

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback below it where there is one."""
        return _clean(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, event, message, then what is bound."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; every control character is escaped."""
        row: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": getattr(record, "event", None) or event_of(str(record.msg), record.module, record.funcName),
            "message": _clean(record.getMessage()),
            **fields_of(record),
        }
        if record.exc_info:
            row["traceback"] = _clean(self.formatException(record.exc_info))
        return json.dumps(row, ensure_ascii=False, default=str)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What is bound to a record; a message that begins with its round's number binds that."""
    found = {**_everywhere, **(_bound.get() or {})}
    arguments = record.args
    if isinstance(arguments, tuple) and arguments and str(record.msg).startswith("round %d"):
        found["round"] = arguments[0]
    return {name: found[name] for name in FIELDS if found.get(name) is not None}


def _check(fields: dict[str, Any]) -> None:
    if unknown := set(fields) - set(FIELDS):
        raise TypeError(f"a log record carries {', '.join(FIELDS)}, not {', '.join(sorted(unknown))}")


def _clean(text: str) -> str:
    for pattern in _SECRETS:
        text = pattern.sub(STRUCK_OUT, text)
    over = len(text) - LONGEST_MESSAGE
    return f"{text[:LONGEST_MESSAGE]}… ({over} more characters)" if over > 0 else text


class _Private(RotatingFileHandler):
    """A rotating file that only its owner can read."""

    def _open(self) -> TextIOWrapper:
        return TextIOWrapper(FileIO(self.baseFilename, self.mode, opener=_owner_only), encoding=self.encoding)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _file_handler(file: Path, max_bytes: int, keep: int) -> logging.Handler:
    try:
        return _Private(file, maxBytes=max_bytes, backupCount=keep, encoding="utf-8")
    except OSError as error:
        raise BadEnvironment(f"the log cannot be written to {file} ({error.strerror}): change [log] file") from None
