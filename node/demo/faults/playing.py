"""A demo in which something goes wrong: the rounds with the fault in them, and the judgement."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from chain.client import Chain
from node.demo.faults.injector import Happened, Injector, Stage
from node.demo.faults.oracle import Played, exceptions, judge
from node.demo.faults.spec import parse_fault
from node.demo.network import threads_for
from node.demo.watch import Watcher
from node.rounds.statement import Predicate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

    from rich.console import Console

    from chain.anvil import Anvil
    from chain.deployment import Deployment
    from node.demo.faults.staging import Props
    from node.demo.options import DemoOptions
    from node.demo.processes import HospitalProcess


@dataclass(frozen=True)
class Judged:
    """What a fault did, and whether all held that must hold."""

    fault: str
    """As a specification that happens again."""
    happened: Happened
    wrong: tuple[str, ...]
    """Everything that did not hold."""
    exceptions: tuple[str, ...] = ()
    """What the hospitals logged with a traceback."""

    def to_json(self) -> dict[str, Any]:
        """For the demo's report."""
        found = {"wrong": list(self.wrong), "exceptions": list(self.exceptions)}
        return {"fault": self.fault, **found, **asdict(self.happened)}

    def line(self) -> str:
        """In one line, for people."""
        done = self.happened
        when = f"in {done.phase} of round {done.round}" if done.round else f"in the {done.phase}"
        back = "never" if done.recovered is None else f"after {done.recovered:.1f} s"
        seen = "" if done.noticed is None else f"; reported silent after {done.noticed:.1f} s"
        verdict = "; ".join(self.wrong) or "everything held"
        return f"fault {self.fault}: {done.victim} {when}{seen}; next model at all hospitals {back}: {verdict}"


def play_with_fault(
    options: DemoOptions,
    hospitals: tuple[HospitalProcess, ...],
    anvil: Anvil,
    deployment: Deployment,
    props: Props,
    console: Console,
    seconds: float,
    until: ExitStack,
) -> Happened:
    """Watch the rounds while the fault happens.

    Args:
        options: The demo's options.
        hospitals: Their daemons, running.
        anvil: The chain.
        deployment: Its contracts.
        props: What was made ready for the fault.
        console: Where to show the rounds.
        seconds: After which to give up.
        until: Left when the network is to end: what the fault's thread started again ends with that thread.

    Returns:
        What it came to.

    Raises:
        RoundProblem: A daemon died that should not have, or the rounds are not over in time.
    """
    fault = parse_fault(options.fault, len(hospitals), options.rounds)
    console.print(f"fault: {fault}", highlight=False, soft_wrap=True)
    chain = Chain(anvil.url, deployment)
    stage = Stage(hospitals, anvil, threads_for(hospitals), props.links, props.towards, props.disk, props.ipfs, chain)
    injector = until.enter_context(Injector(fault, stage, options.rounds))
    Watcher(hospitals, console, options.rounds, seconds, injector).wait()
    return injector.happened


def judge_run(
    options: DemoOptions,
    hospitals: Sequence[HospitalProcess],
    anvil: Anvil,
    deployment: Deployment,
    happened: Happened,
    statements: Sequence[Mapping[str, Any]],
    audit: str,
) -> Judged:
    """Hold the run against the oracle, while its network is still up."""
    fault = parse_fault(options.fault, len(hospitals), options.rounds)
    predicates = [Predicate.model_validate(statement["predicate"]) for statement in statements]
    wrong = judge(
        Played(hospitals, Chain(anvil.url, deployment), anvil.url, options.rounds, fault, happened, predicates, audit)
    )
    return Judged(str(fault), happened, tuple(wrong), tuple(exceptions(hospitals)))
