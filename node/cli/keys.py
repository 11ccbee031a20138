"""`medweave keys`: the key ceremonies of a consortium, the refreshes of its shares, and the safekeeping of one's own."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.keeping import backup, restore_command
from node.cli.options import home_option, password_options, read_password
from node.cli.plan_source import PlanShelf
from node.cli.reader import Reader, chain_options, signing_reader
from node.config import TESTING_VARIABLE
from node.epochs.facts import EpochFacts, epoch_facts, status
from node.epochs.start import CEREMONY_SECONDS, open_ceremony, open_refresh
from node.epochs.vault import share_files
from node.epochs.verify import FALSE, UNCHECKED, VERIFIED, Examination
from node.errors import BadInput, PeerProblem, PolicyRefusal
from node.home import Home
from node.storage import BlobUnavailable

if TYPE_CHECKING:
    from node.audit.evidence import Evidence
    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView
    from node.epochs.verify import CeremonyReport

POLL_SECONDS = 0.5
SWITCH_SECONDS = 10.0
_MARKS = {VERIFIED: "ok  ", FALSE: "BAD ", UNCHECKED: "?   "}


@click.group("keys")
def command() -> None:
    """Make, refresh, watch and verify the consortium's joint key; back up and restore this hospital's secrets.

    Exit codes: 0 done, or the key is active; 1 the ceremony was aborted or a check failed; 2 it could not be checked, or
    nothing happened in time; 3 bad input; 5 the chain is out of reach.
    """


command.add_command(backup)
command.add_command(restore_command)

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_timeout = click.option(
    "--timeout", type=click.FloatRange(0), default=CEREMONY_SECONDS, show_default=True, help="Seconds to watch at most."
)
_epoch = click.option("--epoch", type=click.IntRange(1), help="Which key epoch; default: the newest.")


@command.command("show")
@chain_options
@_epoch
@_json
def show(home: Path | None, rpc: str | None, contracts: Path | None, epoch: int | None, *, as_json: bool) -> int:
    """Print an epoch's public facts: parameters, threshold, key digest, generation of its shares, each member's steps."""
    reader = Reader.of(home, rpc, contracts)
    facts = epoch_facts(reader.view, reader.epoch(epoch))
    if as_json:
        here = None if home is None else share_files(Home(home), facts.epoch)
        held = {"held_here": None if here is None else bool(here), "generation_here": max(here or (), default=None)}
        click.echo(json.dumps({**facts.to_json(), **held}, indent=2))
    else:
        _print(facts)
    return 0


def _print(facts: EpochFacts) -> None:
    until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts.deadline))
    click.echo(f"epoch {facts.epoch}  {facts.status}")
    click.echo(f"  parameters  {facts.parameters}; any {facts.threshold} of {len(facts.members)} open a sum together")
    if facts.drawn_from:
        click.echo(f"  cohort      {len(facts.members)} of {facts.drawn_from} members, drawn; the others rest")
    click.echo(f"  joint key   {facts.joint_key or '-'}")
    if facts.joint_cid:
        click.echo(f"  blob        {facts.joint_cid}")
    click.echo(f"  generation  {facts.generation} (how often the members' shares were refreshed)")
    click.echo(f"  deadline    {until}")
    for member in facts.members:
        accused = f"  accused by {len(member.accused_by)}" if member.accused_by else ""
        click.echo(f"  {member.index:>3}  {member.name:<24} {', '.join(member.done) or 'nothing yet'}{accused}")
    for refresh in facts.refreshes:
        click.echo(
            f"  refresh {refresh.refresh} to generation {refresh.generation}  {refresh.status}: {refresh.progress}"
        )


@command.command("watch")
@chain_options
@_epoch
@_timeout
@_json
def watch(
    home: Path | None, rpc: str | None, contracts: Path | None, epoch: int | None, timeout: float, *, as_json: bool
) -> int:
    """Follow a ceremony, or the refresh that is running, to its end; a line a change (with --json: an object a line).

    Exit codes: 0 the epoch has a key, or its shares are refreshed; 1 it was aborted; 2 it still ran when the time was over.
    """
    reader = Reader.of(home, rpc, contracts)
    chosen = reader.epoch(epoch)
    return _watch(reader, chosen.refreshing or chosen, timeout, as_json=as_json)


def _watch(reader: Reader, record: EpochView, timeout: float, *, as_json: bool) -> int:
    said, end = "", time.monotonic() + timeout
    while True:
        epoch = reader.view.epochs[record.epoch]
        current = epoch.refreshes[record.refresh - 1] if record.refresh else epoch
        line = _line(reader.view, current, as_json=as_json)
        if line != said:
            said = line
            click.echo(line)
        if not current.running:
            return 0 if current.joint_key is not None else 1
        if time.monotonic() >= end:
            return 2
        time.sleep(POLL_SECONDS)
        reader.follower.look()


def _line(view: ConsortiumView, record: EpochView, *, as_json: bool) -> str:
    """Where a ceremony or refresh stands, in a line."""
    facts = epoch_facts(view, view.epochs[record.epoch])
    if as_json:
        return json.dumps(facts.to_json())
    if record.refresh:
        refresh = facts.refreshes[record.refresh - 1]
        head = f"epoch {facts.epoch}, refresh {refresh.refresh} to generation {refresh.generation}"
        return f"{head}  {refresh.status}: {refresh.progress}"
    return f"epoch {facts.epoch}  {facts.status}: {facts.progress}"


@command.command("run")
@home_option
@password_options
@click.option("--parameters", help="Parameter set; default: the plan's, else standard.")
@click.option("--threshold", type=click.IntRange(1, 256), help="Openers; default: the plan's, else two thirds.")
@click.option("--no-wait", is_flag=True, help="Do not watch the ceremony.")
@_timeout
@_json
def run(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    parameters: str | None,
    threshold: int | None,
    timeout: float,
    *,
    no_wait: bool,
    as_json: bool,
) -> int:
    """Open the consortium's first key ceremony, or join watching the one that runs; the daemons carry it out.

    Exit codes: as `medweave keys watch`; 3 if there is a key already.
    """
    reader = signing_reader(Home(home), read_password(password_file, password_fd))
    if reader.view.active_epoch and not _making(reader.view):
        raise BadInput(f"epoch {reader.view.active_epoch} has a key: `medweave keys rotate` makes the next one")
    return _ceremony(Home(home), reader, parameters, threshold, None if no_wait else timeout, as_json=as_json)


@command.command("rotate")
@home_option
@password_options
@click.option("--parameters", help="Parameter set; default: that of the present key.")
@click.option(
    "--threshold", type=click.IntRange(1, 256), help="Openers; default: the present key's, of as many holders."
)
@click.option(
    "--cohort",
    type=click.IntRange(0, 256),
    help="Members that hold it and train its rounds, drawn by the contract; 0: all. Default: as the present key.",
)
@click.option("--no-wait", is_flag=True, help="Do not watch the ceremony.")
@_timeout
@_json
def rotate(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    parameters: str | None,
    threshold: int | None,
    cohort: int | None,
    timeout: float,
    *,
    no_wait: bool,
    as_json: bool,
) -> int:
    """Make the next epoch's key although there is one; rounds that run keep theirs. The daemons carry it out.

    With --cohort, some of the members hold it and are those of its rounds; the others rest, follow the ledger and adopt the
    models. Who they are follows from the last round's seed. How many are enough: docs/threat-model.md.

    Exit codes: as `medweave keys watch`; 3 if there is no key yet, or the consortium has no cohorts of this size.
    """
    reader = signing_reader(Home(home), read_password(password_file, password_fd))
    if not reader.view.active_epoch:
        raise BadInput("there is no key to replace: `medweave keys run` makes the first one")
    if reader.view.ceremony is not None and not _making(reader.view):
        raise BadInput("the shares are being refreshed: follow it with `medweave keys watch`, then rotate")
    active = reader.view.epochs[reader.view.active_epoch]
    present, held_by = epoch_facts(reader.view, active), len(active.seats) if active.drawn else 0
    size = held_by if cohort is None else cohort
    openers = threshold or (present.threshold if size == held_by else None)
    wait = None if no_wait else timeout
    wanted = parameters or present.parameters
    return _ceremony(Home(home), reader, wanted, openers, wait, cohort=size, as_json=as_json)


@command.command("refresh")
@home_option
@password_options
@click.option("--no-wait", is_flag=True, help="Do not watch the refresh.")
@_timeout
@_json
def refresh(
    home: Path, password_file: Path | None, password_fd: int | None, timeout: float, *, no_wait: bool, as_json: bool
) -> int:
    """Give every member a new share of the same key, and make older shares worthless; the daemons carry it out.

    All members that hold a share must take part. Until the last has confirmed, the old shares stay in force; then they are
    erased. What was sealed stays readable. Make a new backup afterwards and destroy the older ones.

    Exit codes: as `medweave keys watch`; 3 if there is no key yet, or a new one is being made.
    """
    reader = signing_reader(Home(home), read_password(password_file, password_fd))
    active = reader.view.active_epoch
    if not active:
        raise BadInput("there is no key whose shares could be refreshed: `medweave keys run` makes the first one")
    if _making(reader.view):
        raise BadInput("a new key is being made: follow it with `medweave keys watch`")
    if not reader.view.fitting:
        raise BadInput(
            f"the key of epoch {active} is held by others than the present members: a new one comes first, see `medweave keys watch`"
        )
    if reader.view.epochs[active].threshold < 2:
        raise BadInput(f"any single member opens sums of epoch {active}: new shares would change nothing")
    if reader.view.ceremony is None:
        open_refresh(reader.chain)
        _until_seen(reader)
    record = reader.view.epochs[active].refreshes[-1]
    code = _follow(reader, record, None if no_wait else timeout, as_json=as_json)
    if code == 0 and not no_wait:
        _until_switched(Home(home), record)
    return code


def _until_switched(home: Home, record: EpochView) -> None:
    """Wait until this hospital's daemon has put its new share in force, so that a backup made next holds that one."""
    end = time.monotonic() + SWITCH_SECONDS
    while record.generation not in share_files(home, record.epoch):
        if time.monotonic() > end:
            click.echo("this hospital's daemon has not switched to its new share yet: is it running?", err=True)
            return
        time.sleep(0.05)


def _making(view: ConsortiumView) -> bool:
    return view.ceremony is not None and not view.ceremony.refresh


def _ceremony(
    home: Home,
    reader: Reader,
    parameters: str | None,
    threshold: int | None,
    timeout: float | None,
    *,
    cohort: int = 0,
    as_json: bool,
) -> int:
    if not _making(reader.view):
        config, holders = home.config(), cohort or len(reader.view.members)
        if cohort:
            _check_cohort(reader, config.rounds.min_cohort, cohort)
        plan = PlanShelf(home, reader).chosen()
        chosen = threshold or (plan.threshold_for(holders) if plan else -(-2 * holders // 3))
        least = config.rounds.min_threshold or holders // 2 + 1
        if not least <= chosen <= holders:
            raise PolicyRefusal(f"--threshold {chosen}: this hospital asks for {least} to {holders} openers")
        name = parameters or (plan.parameter_set if plan else "standard")
        open_ceremony(reader.chain, name, chosen, cohort=cohort, allow_minimal=_testing())
        _until_seen(reader)
    return _follow(reader, reader.view.epochs[max(reader.view.epochs)], timeout, as_json=as_json)


def _check_cohort(reader: Reader, least: int, size: int) -> None:
    """Refuse a size that the contract or this hospital's own policy refuses.

    Raises:
        BadInput: The consortium has no such cohorts.
        PolicyRefusal: This hospital would take no part itself.
    """
    smallest, members = reader.chain.epochs.smallest_cohort(), len(reader.view.members)
    if not smallest:
        raise BadInput(f"--cohort {size}: this consortium was founded without cohorts, all members hold its keys")
    if not smallest <= size <= members:
        raise BadInput(f"--cohort {size}: this consortium's cohorts have {smallest} to {members} members")
    if size < least:
        raise PolicyRefusal(
            f"--cohort {size}: this hospital asks for at least {least} members in a cohort ([rounds] min_cohort)"
        )


def _follow(reader: Reader, record: EpochView, timeout: float | None, *, as_json: bool) -> int:
    if timeout is None:
        click.echo(_line(reader.view, record, as_json=as_json))
        return 0
    return _watch(reader, record, timeout, as_json=as_json)


def _until_seen(reader: Reader) -> None:
    """Wait until what was just opened is in the view."""
    end = time.monotonic() + 30
    while reader.view.ceremony is None:
        if time.monotonic() > end:
            raise PeerProblem("it was opened, but the chain does not show it; look with `medweave keys show`")
        time.sleep(0.1)
        reader.follower.look()


@command.command("verify")
@chain_options
@_epoch
@click.option("--refresh", "number", type=click.IntRange(1), help="Check this refresh alone, however it ended.")
@click.option(
    "--blobs", multiple=True, help="Directory with blobs, or a node's URL; repeatable. Default: the home, the members."
)
@_json
def verify(
    home: Path | None,
    rpc: str | None,
    contracts: Path | None,
    epoch: int | None,
    number: int | None,
    blobs: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Check a ceremony and the refreshes that took effect, from outside: dealings, joint key, self-tests, complaints.

    No key is needed.

    Exit codes: 0 verified; 1 something is false, and the offender is named where it can be known; 2 it could not be checked.
    """
    from node.audit.evidence import open_evidence

    reader = Reader.of(home, rpc, contracts)
    places = blobs or (
        *([str(home)] if home and (home / "blobs").is_dir() else []),
        *(hospital.url for _, hospital in reader.view.present if hospital.url),
    )
    source = _Blobs(open_evidence(places))
    chosen = reader.epoch(epoch)
    if number is not None and number > len(chosen.refreshes):
        raise BadInput(f"--refresh {number}: epoch {chosen.epoch} has {len(chosen.refreshes)} refreshes")
    taken = [refresh for refresh in chosen.refreshes if refresh.joint_key is not None]
    records = [chosen.refreshes[number - 1]] if number else [chosen, *taken]
    consortium = reader.chain.deployment.consortium
    reports = [
        Examination(reader.view, record, consortium, source, allow_minimal=_testing()).report() for record in records
    ]
    _print_reports(reader.view, chosen, reports, as_json=as_json)
    return max(({VERIFIED: 0, UNCHECKED: 2, FALSE: 1}[report.verdict] for report in reports), key=(0, 2, 1).index)


def _print_reports(view: ConsortiumView, epoch: EpochView, reports: list[CeremonyReport], *, as_json: bool) -> None:
    names = [hospital.name for hospital in view.hospitals]
    if as_json:
        facts = {"epoch": epoch.epoch, "status": status(view, epoch), "generation": epoch.generation}
        worst = next(v for v in (FALSE, UNCHECKED, VERIFIED) if any(report.verdict == v for report in reports))
        offenders = [names[k] for k in sorted({k for report in reports for k in report.offenders})]
        rows = [{**asdict(finding), "refresh": r.refresh} for r in reports for finding in r.findings]
        click.echo(json.dumps({**facts, "verdict": worst, "offenders": offenders, "findings": rows}, indent=2))
        return
    for report in reports:
        for finding in report.findings:
            click.echo(f"{_MARKS[finding.verdict]}{finding.subject}{': ' + finding.detail if finding.detail else ''}")
        for offender in report.offenders:
            click.echo(f"at fault: {names[offender]}")
        what = f"epoch {report.epoch}, refresh {report.refresh}" if report.refresh else f"epoch {report.epoch}"
        click.echo(f"{what} ({status(view, epoch)}): {report.verdict}")


@dataclass(frozen=True)
class _Blobs:
    """Evidence as a source of blobs."""

    evidence: Evidence

    def obtain(self, cid: str) -> bytes:
        """See `node.epochs.judge.Obtains`."""
        seen = self.evidence.look(cid)
        if seen.data is None:
            raise BlobUnavailable(cid, ())
        return seen.data


def _testing() -> bool:
    return os.environ.get(TESTING_VARIABLE) == "1"
