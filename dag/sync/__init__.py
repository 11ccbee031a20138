"""How nodes keep their ledgers equal, without sockets and without a clock: the caller carries bytes and tells the time."""

from dag.sync.effects import Attached, Check, Effect, Misbehaved, Overloaded, Send, Spread, Stuck, Verdict
from dag.sync.exchange import Sync

__all__ = ["Attached", "Check", "Effect", "Misbehaved", "Overloaded", "Send", "Spread", "Stuck", "Sync", "Verdict"]
