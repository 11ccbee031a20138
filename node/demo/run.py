"""`medweave demo`, start to end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crypto.parameters import parameter_set
from node.audit.evidence import open_evidence
from node.audit.run import audit
from node.config import TESTING_VARIABLE
from node.demo import report as reporting
from node.demo.data import prepare
from node.demo.faults.playing import judge_run, play_with_fault
from node.demo.memory import MemoryWatch
from node.demo.network import network, plan_for
from node.demo.plaintext import check
from node.demo.processes import command, finish
from node.demo.watch import Watcher, ask, client_of
from node.errors import RoundProblem
from node.sealing.quantising import plan_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from chain.anvil import Anvil
    from chain.deployment import Deployment
    from node.audit.report import Report
    from node.demo.data import DemoData
    from node.demo.faults.staging import Props
    from node.demo.options import DemoOptions
    from node.demo.processes import HospitalProcess

WAIT_SECONDS_A_ROUND = 1500
LOCAL_SECONDS = 3600.0


def run(options: DemoOptions, console: Console) -> int:
    """Run the demo and print what it came to.

    Returns:
        0 if every round was finalised and the audit verified; 1 otherwise.

    Raises:
        MedweaveError: Something could not be done; everything is stopped by then.
    """
    started = time.monotonic()
    console.print("reading the images", highlight=False, soft_wrap=True)
    data = prepare(options)
    _announce(options, data, console)
    plan = plan_for(options, data)
    parameter_set(plan.parameter_set, allow_minimal=os.environ.get(TESTING_VARIABLE) == "1")
    plan_layout(plan.architecture, len(plan.classes), plan.value_range)
    result = reporting.DemoReport(
        options={key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()},
        data={
            "name": data.name,
            "synthetic": data.synthetic,
            "train": [len(part) for part in data.hospitals],
            "test": len(data.test),
        },
        environment=reporting.environment(),
        run_directory=str(options.out),
    )
    staged: list[Props] = []
    with (
        MemoryWatch() as memory,
        network(
            options, data, lambda line: console.print(line, highlight=False, soft_wrap=True), staged.append
        ) as parts,
        ExitStack() as until,
    ):
        hospitals, deployment, anvil = parts
        verdict = _play(options, data, console, result, hospitals, deployment, anvil, memory, staged[0], until)
        result.total_seconds = time.monotonic() - started
        _write(options, result)
        reporting.show(result, console, options)
        _say_verdict(options, verdict, result, console)
        if options.keep_running:
            _keep_running(hospitals, anvil, console)
    finalised = sum(row.status == "finalised" for row in result.rounds)
    held = result.fault is None or not result.fault["wrong"]
    return 0 if verdict.verdict == "verified" and finalised >= options.rounds and held else 1


def _announce(options: DemoOptions, data: DemoData, console: Console) -> None:
    kind = "SYNTHETIC images (drawn phantoms, no patient)" if data.synthetic else "images"
    sizes = ", ".join(str(len(part)) for part in data.hospitals)
    console.print(
        f"{data.name}: {kind}; {sizes} at the hospitals ({options.partition}), {len(data.test)} test images",
        highlight=False,
        soft_wrap=True,
        style="bold yellow" if data.synthetic else None,
    )


def _play(
    options: DemoOptions,
    data: DemoData,
    console: Console,
    result: reporting.DemoReport,
    hospitals: tuple[HospitalProcess, ...],
    deployment: Deployment,
    anvil: Anvil,
    memory: MemoryWatch,
    props: Props,
    until: ExitStack,
) -> Report:
    """Rounds, comparison, checks, audit; the network is still up."""
    begun = time.time()
    console.print(f"key ceremony, then {options.rounds} rounds", highlight=False, soft_wrap=True)
    patience = min(WAIT_SECONDS_A_ROUND, 2.0 * options.round_seconds) * (options.rounds + 1)
    happened = None
    if options.fault:
        happened = play_with_fault(options, hospitals, anvil, deployment, props, console, patience, until)
    else:
        Watcher(hospitals, console, options.rounds, WAIT_SECONDS_A_ROUND * (options.rounds + 1)).wait()
    result.peak_bytes = memory.peak
    statements = _collect(result, hospitals, begun)
    if options.check_plaintext:
        plan = plan_for(options, data)
        homes = {ask(h, "/v1/status")["hospital"]["account"].lower(): h.home for h in hospitals}
        minimal = os.environ.get(TESTING_VARIABLE) == "1"
        result.plaintext_check = check(plan, statements, homes, allow_minimal=minimal)
        console.print(result.plaintext_check, highlight=False, soft_wrap=True)
    if options.baseline:
        console.print("training each hospital alone, for comparison", highlight=False, soft_wrap=True)
        result.local_only = _train_alone(options, hospitals)
    console.print("auditing with chain and blobs alone", highlight=False, soft_wrap=True)
    finish([hospitals[0].run("export", "--out", str(options.out / "model.bin"))], "medweave export", 120.0, parse=False)
    verdict = _audit(options, deployment, anvil)
    result.audit = verdict.to_json()
    if happened is not None:
        judged = judge_run(options, hospitals, anvil, deployment, happened, statements, verdict.verdict)
        result.fault = judged.to_json()
        console.print(judged.line(), highlight=False, soft_wrap=True)
    return verdict


def _collect(result: reporting.DemoReport, hospitals: Sequence[HospitalProcess], begun: float) -> list[dict[str, Any]]:
    """Ask every daemon how each round went; returns the finalised rounds' statements, oldest first."""
    with client_of(hospitals[0]) as node:
        rows = [row.model_dump(mode="json") for row in node.rounds()]
        newest = next(node.models(newest=True), None)
        lineage = list(node.provenance(newest.model)) if newest else []
        names = {member.account: member.name for member in node.members(former=True).members}
    statements = {step.round: step.statement_text for step in lineage if step.statement_text}
    for row in rows:
        here = [ask(hospital, f"/v1/rounds/{row['round']}")["here"] for hospital in hospitals]
        result.rounds.append(reporting.summarise(row, here, names, statements.get(row["round"])))
        if row["round"] == 1:
            marks = [facts["marks"]["begin"] for facts in here if "begin" in facts.get("marks", {})]
            result.ceremony_seconds = max(0.0, min(marks, default=begun) - begun)
    return [statements[number] for number in sorted(statements)]


def _train_alone(options: DemoOptions, hospitals: Sequence[HospitalProcess]) -> list[Any]:
    """Every hospital trains by itself for as many epochs, in a process of its own that reads only its directory."""
    import subprocess

    children = [
        subprocess.Popen(
            [
                *command("local"),
                "--home",
                str(h.home),
                "--rounds",
                str(options.rounds),
                "--member",
                str(h.index),
                "--json",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for h in hospitals
    ]
    return finish(children, "medweave local", LOCAL_SECONDS)


def _audit(options: DemoOptions, deployment: Deployment, anvil: Anvil) -> Report:
    """The audit as an outsider would run it: a chain endpoint, the blobs, the model file, no key."""
    from chain.client import Chain

    chain = Chain(anvil.url, deployment)
    data = (options.out / "model.bin").read_bytes()
    return audit(chain, open_evidence([str(options.out)]), None, model_file=data)


def _write(options: DemoOptions, result: reporting.DemoReport) -> None:
    text = json.dumps(result.to_json(), indent=2)
    (options.out / "report.json").write_text(text, encoding="utf-8")
    if options.json is not None:
        options.json.write_text(text, encoding="utf-8")


def _say_verdict(options: DemoOptions, verdict: Report, result: reporting.DemoReport, console: Console) -> None:
    missing = options.rounds - sum(row.status == "finalised" for row in result.rounds)
    if missing > 0:
        console.print(f"{missing} of {options.rounds} rounds were not finalised", style="bold red")
    console.print(
        f"run directory: {options.out}  (audit it again: medweave audit --run {options.out})",
        highlight=False,
        soft_wrap=True,
    )
    console.print(verdict.to_text().splitlines()[-1], highlight=False, style="bold", soft_wrap=True)


def _keep_running(hospitals: Sequence[HospitalProcess], anvil: Anvil, console: Console) -> None:
    console.print("the network stays up until Ctrl-C:", highlight=False, soft_wrap=True)
    for hospital in hospitals:
        token = f"medweave token create --role operator --name me --home {hospital.home}"
        console.print(f"  {hospital.name}  {hospital.url}/  to sign in: {token}", highlight=False, soft_wrap=True)
    console.print(f"  chain       {anvil.url}", highlight=False, soft_wrap=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        for hospital in hospitals:
            if hospital.exited() is not None:
                raise RoundProblem(f"{hospital.name} stopped: {hospital.last_words()}")
