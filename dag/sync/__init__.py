"""How nodes keep their ledgers equal, without sockets and without a clock: the caller carries bytes and tells the time."""

from dag.sync.config import SyncConfig
from dag.sync.effects import Attached, Check, Effect, Misbehaved, Overloaded, Send, Spread, Stuck, Verdict
from dag.sync.machine import SyncMachine
from dag.sync.messages import MAX_MESSAGE_BYTES, MEDIA_TYPE, is_question
from dag.sync.ports import LedgerAccess, LedgerPort
from dag.sync.stats import SyncStats

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MEDIA_TYPE",
    "Attached",
    "Check",
    "Effect",
    "LedgerAccess",
    "LedgerPort",
    "Misbehaved",
    "Overloaded",
    "Send",
    "Spread",
    "Stuck",
    "SyncConfig",
    "SyncMachine",
    "SyncStats",
    "Verdict",
    "is_question",
]
