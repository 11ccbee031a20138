"""What must hold after a fault, whatever it was: asked of the chain and of every hospital while they still run.

rounds end       finalised or aborted by their deadline; as many finalised as were asked for
all agree        on the model, the rounds, and every transaction of the ledger
all hold         every model that was finalised; the newest is given out byte for byte
counted once     each hospital posted one update a round at most; what is summed is what was posted, each once
none in between  nothing of an account waits at the chain
noticed          a victim that was away for longer than 15 s was reported silent within 15 s
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from chain.connection import Connection
from chain.events import RoundAborted, RoundFinalised, RoundOpened
from node.demo.faults.spec import ANVIL, DETECTABLE_SECONDS
from node.demo.watch import client_of
from node.errors import MedweaveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chain.client import Chain
    from chain.events import Event
    from node.demo.faults.injector import Happened
    from node.demo.faults.spec import Fault
    from node.demo.processes import HospitalProcess
    from node.rounds.statement import Predicate

SETTLE_SECONDS: Final = 20.0
"""So long the last messages may take to reach everybody after the last round."""
ABORT_SECONDS: Final = 20.0
"""So long after its deadline, and after the fault, a round may still wait for the transaction that aborts it."""
LOOK_SECONDS: Final = 0.5
FORGOTTEN: Final = "its own ledger did not know"
"""What a node logs that was told of a transaction it had posted and lost."""
_TRACEBACK: Final = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t|+].*\n)+(\S.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Played:
    """A run that is over, its network still up."""

    hospitals: Sequence[HospitalProcess]
    chain: Chain
    rpc: str
    """Where it is asked; no proxy lies between."""
    rounds: int
    """Asked for."""
    fault: Fault
    happened: Happened
    predicates: Sequence[Predicate]
    """Of the finalised rounds' statements."""
    audit: str
    """The audit's verdict."""


def judge(played: Played) -> list[str]:
    """Everything that is wrong; empty where nothing is."""
    events = played.chain.events(played.chain.deployment.block)
    views = _settled(played)
    return [
        *_happened(played),
        *_ended(played, events),
        *_agreed(played, views),
        *_counted(played, views),
        *_at_rest(played),
        *([] if played.audit == "verified" else [f"the audit says: {played.audit}"]),
    ]


def exceptions(hospitals: Sequence[HospitalProcess]) -> list[str]:
    """What the hospitals' logs hold of tracebacks, a line each: no verdict, but what nobody foresaw stands here."""
    return [
        f"{hospital.name}: {found[1]}"
        for hospital in hospitals
        for found in _TRACEBACK.finditer((hospital.home / "node.log").read_text(errors="replace"))
    ]


@dataclass(frozen=True)
class _View:
    """What one hospital says."""

    name: str
    model: str | None
    rounds: tuple[tuple[int, str, str | None], ...]
    transactions: frozenset[str]
    updates: tuple[Any, ...]
    lacking: tuple[int, ...] = ()
    """Finalised rounds whose model it does not have."""


def _view(hospital: HospitalProcess) -> _View:
    with client_of(hospital) as node:
        status = node.status()
        rows = tuple((row.round, row.status, row.model) for row in node.rounds() if row.status != "open")
        transactions = tuple(node.transactions())
        models = [model for model in node.models() if model.round]
        if status.model and models and models[-1].held:
            node.model_file(status.model)
    updates = tuple(tx for tx in transactions if tx.kind == "update")
    lacking = tuple(model.round for model in models if not model.held)
    return _View(hospital.name, status.model, rows, frozenset(tx.hex for tx in transactions), updates, lacking)


def _settled(played: Played) -> list[_View]:
    """What all hospitals say once they say the same, or when the time for that is over."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            views = [_view(hospital) for hospital in played.hospitals]
        except MedweaveError:
            if time.monotonic() > deadline:
                raise
        else:
            if not list(_agreed(played, views)) or time.monotonic() > deadline:
                return views
        time.sleep(LOOK_SECONDS)


def _happened(played: Played) -> Iterator[str]:
    done = played.happened
    if done.problem:
        yield f"the fault could not be done: {done.problem}"
    elif done.recovered is None:
        yield "the network never came back to one model after the fault"
    if played.fault.must_be_noticed and (done.noticed is None or done.noticed > DETECTABLE_SECONDS):
        when = "never" if done.noticed is None else f"after {done.noticed:.1f} s"
        yield f"{done.victim} was away for {played.fault.seconds:g} s and was reported silent {when}"


def _ended(played: Played, events: Sequence[Event]) -> Iterator[str]:
    eth = Connection(played.rpc).w3.eth
    opened = {event.round: event for event in events if isinstance(event, RoundOpened)}
    ends = [event for event in events if isinstance(event, RoundFinalised | RoundAborted)]
    if sum(isinstance(event, RoundFinalised) for event in ends) < played.rounds:
        yield f"fewer than {played.rounds} rounds were finalised"
    for number, count in Counter(event.round for event in ends).items():
        if count > 1:
            yield f"round {number} ended {count} times"
    away = played.fault.seconds if played.fault.victim == ANVIL or played.fault.kind == "cut-chain" else 0.0
    for event in ends:
        late = eth.get_block(event.block)["timestamp"] - opened[event.round].finalise_by
        if isinstance(event, RoundFinalised) and late > 0:
            yield f"round {event.round} was finalised {late} s after its deadline"
        if isinstance(event, RoundAborted) and late > ABORT_SECONDS + away:
            yield f"round {event.round} was aborted only {late} s after its deadline"
    for number in sorted(opened.keys() - {event.round for event in ends})[:-1]:
        yield f"round {number} never ended, and later ones were opened"


def _agreed(played: Played, views: Sequence[_View]) -> Iterator[str]:
    head = played.chain.models.head().hex()
    for view in views:
        if view.model != head:
            yield f"{view.name} has model {str(view.model)[:12]}, the chain {head[:12]}"
        if view.lacking:
            yield f"{view.name} does not hold the models of rounds {', '.join(map(str, view.lacking))}"
    if len({view.rounds for view in views}) > 1:
        yield "hospitals tell different rounds"
    everything = frozenset().union(*(view.transactions for view in views))
    for view in views:
        if missing := len(everything - view.transactions):
            yield f"{view.name} lacks {missing} transactions of the ledger"


def _counted(played: Played, views: Sequence[_View]) -> Iterator[str]:
    posted: dict[int, dict[str, str]] = {}
    for tx in views[0].updates:
        issuer = str(tx.issuer).lower()
        if issuer in posted.setdefault(tx.round, {}):
            yield f"{issuer[:10]} posted two updates in round {tx.round}"
        posted[tx.round][issuer] = tx.hex
    for predicate in played.predicates:
        issuers = [str(update.issuer).lower() for update in predicate.updates]
        if len(set(issuers)) != len(issuers):
            yield f"round {predicate.round}: an update is counted twice"
        for issuer in set(issuers) - posted.get(predicate.round, {}).keys():
            yield f"round {predicate.round}: the update of {issuer[:10]} is counted, and the ledger lacks it"
        grouped = [index for group in predicate.groups for index in group.updates]
        if len(set(grouped)) != len(grouped):
            yield f"round {predicate.round}: an update is in two sums"
    for hospital in played.hospitals:
        if FORGOTTEN in (hospital.home / "node.log").read_text(errors="replace"):
            yield f"{hospital.name} had lost what it posted"


def _at_rest(played: Played) -> Iterator[str]:
    """No nonce is missing and nothing waits, once what was under way has been mined."""
    eth = Connection(played.rpc).w3.eth
    deadline = time.monotonic() + SETTLE_SECONDS
    for member in played.chain.registry.members():
        while True:
            mined, waiting = (eth.get_transaction_count(member.account, at) for at in ("latest", "pending"))  # type: ignore[arg-type]
            if mined == waiting or time.monotonic() > deadline:
                break
            time.sleep(LOOK_SECONDS)
        if mined != waiting:
            yield f"{waiting - mined} transactions of {member.account} wait at the chain for ever"
