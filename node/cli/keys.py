"""`medweave keys`: the key ceremonies of a consortium, and the safekeeping of one member's secrets."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.client import Chain
from chain.deployment import Deployment
from node.cli.options import home_option, password_options, read_password
from node.config import TESTING_VARIABLE
from node.consortium.follower import Follower
from node.epochs.backup import RESTORED, back_up, open_backup, restore
from node.epochs.facts import EpochFacts, epoch_facts, status
from node.epochs.start import CEREMONY_SECONDS, open_ceremony
from node.epochs.verify import FALSE, UNCHECKED, VERIFIED, Examination
from node.errors import BadInput, PeerProblem, PolicyRefusal
from node.home import Home, read_deployment, unlock_identity, write_private
from node.rounds.journal import Journal
from node.rounds.plan import Plan
from node.storage import BlobUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.audit.evidence import Evidence
    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView

POLL_SECONDS = 0.5
_MARKS = {VERIFIED: "ok  ", FALSE: "BAD ", UNCHECKED: "?   "}


@click.group("keys")
def command() -> None:
    """Make, watch and verify the consortium's joint key; back up and restore this hospital's secrets.

    Exit codes: 0 done, or the key is active; 1 the ceremony was aborted or a check failed; 2 it could not be checked, or
    nothing happened in time; 3 bad input; 5 the chain is out of reach.
    """


def _chain_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--home DIR`, or `--rpc URL --contracts FILE`: reading needs no password and no home."""
    home = click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The hospital's directory.")
    rpc = click.option("--rpc", help="JSON-RPC endpoint of the chain; default: as in the home's node.toml.")
    contracts = click.option(
        "--contracts",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with the contracts' addresses (consortium.json); default: the home's.",
    )
    return home(rpc(contracts(function)))


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_timeout = click.option(
    "--timeout", type=click.FloatRange(0), default=CEREMONY_SECONDS, show_default=True, help="Seconds to watch at most."
)
_epoch = click.option("--epoch", type=click.IntRange(1), help="Which key epoch; default: the newest.")


@dataclass
class _Reader:
    """The chain as a reader sees it."""

    chain: Chain
    follower: Follower

    @classmethod
    def of(cls, home: Path | None, rpc: str | None, contracts: Path | None) -> _Reader:
        if home is None and (rpc is None or contracts is None):
            raise click.UsageError("give --home DIR, or --rpc URL and --contracts FILE")
        place = Home(home) if home else None
        if contracts is not None:
            try:
                deployment = Deployment.from_json(contracts.read_bytes())
            except OSError as error:
                raise BadInput(f"--contracts {contracts}: {error.strerror}") from None
        else:
            deployment = read_deployment(place or Home(Path()))
        return cls.at(Chain(rpc or (place or Home(Path())).config().chain.rpc, deployment))

    @classmethod
    def at(cls, chain: Chain) -> _Reader:
        chain.verify()
        follower = Follower(chain)
        follower.look()
        return cls(chain, follower)

    @property
    def view(self) -> ConsortiumView:
        return self.follower.view

    def epoch(self, number: int | None) -> EpochView:
        """The epoch asked for, or the newest."""
        if not self.view.epochs:
            raise BadInput("no key ceremony was ever opened: `medweave keys run` opens one")
        wanted = number or max(self.view.epochs)
        if wanted not in self.view.epochs:
            raise BadInput(f"--epoch {wanted}: there are epochs 1 to {max(self.view.epochs)}")
        return self.view.epochs[wanted]


@command.command("show")
@_chain_options
@_epoch
@_json
def show(home: Path | None, rpc: str | None, contracts: Path | None, epoch: int | None, *, as_json: bool) -> int:
    """Print an epoch's public facts: parameters, threshold, key digest, each member's steps, complaints."""
    reader = _Reader.of(home, rpc, contracts)
    facts = epoch_facts(reader.view, reader.epoch(epoch))
    if as_json:
        held = None if home is None else Home(home).epoch_file(facts.epoch, "member").exists()
        click.echo(json.dumps({**facts.to_json(), "held_here": held}, indent=2))
    else:
        _print(facts)
    return 0


def _print(facts: EpochFacts) -> None:
    until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(facts.deadline))
    click.echo(f"epoch {facts.epoch}  {facts.status}")
    click.echo(f"  parameters  {facts.parameters}; any {facts.threshold} of {len(facts.members)} open a sum together")
    click.echo(f"  joint key   {facts.joint_key or '-'}")
    if facts.joint_cid:
        click.echo(f"  blob        {facts.joint_cid}")
    click.echo(f"  deadline    {until}")
    for member in facts.members:
        accused = f"  accused by {len(member.accused_by)}" if member.accused_by else ""
        click.echo(f"  {member.index:>3}  {member.name:<24} {', '.join(member.done) or 'nothing yet'}{accused}")


@command.command("watch")
@_chain_options
@_epoch
@_timeout
@_json
def watch(
    home: Path | None, rpc: str | None, contracts: Path | None, epoch: int | None, timeout: float, *, as_json: bool
) -> int:
    """Follow a ceremony to its end; a line a change (with --json: one JSON object a line).

    Exit codes: 0 the epoch has a key; 1 the ceremony was aborted; 2 it still ran when the time was over.
    """
    reader = _Reader.of(home, rpc, contracts)
    return _watch(reader, reader.epoch(epoch).epoch, timeout, as_json=as_json)


def _watch(reader: _Reader, number: int, timeout: float, *, as_json: bool) -> int:
    said, end = "", time.monotonic() + timeout
    while True:
        epoch = reader.view.epochs[number]
        facts = epoch_facts(reader.view, epoch)
        line = json.dumps(facts.to_json()) if as_json else f"epoch {number}  {facts.status}: {facts.progress}"
        if line != said:
            said = line
            click.echo(line)
        if not epoch.running:
            return 0 if epoch.joint_key is not None else 1
        if time.monotonic() >= end:
            return 2
        time.sleep(POLL_SECONDS)
        reader.follower.look()


def _signing_reader(home: Home, password: str) -> _Reader:
    """The chain as a hospital's own account sees and writes it."""
    identity = unlock_identity(home, password)
    return _Reader.at(Chain(home.config().chain.rpc, read_deployment(home), identity.account))


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
    reader = _signing_reader(Home(home), read_password(password_file, password_fd))
    if reader.view.active_epoch and not _running(reader.view):
        raise BadInput(f"epoch {reader.view.active_epoch} has a key: `medweave keys rotate` makes the next one")
    return _ceremony(Home(home), reader, parameters, threshold, None if no_wait else timeout, as_json=as_json)


@command.command("rotate")
@home_option
@password_options
@click.option("--parameters", help="Parameter set; default: that of the present key.")
@click.option("--threshold", type=click.IntRange(1, 256), help="Openers; default: that of the present key.")
@click.option("--no-wait", is_flag=True, help="Do not watch the ceremony.")
@_timeout
@_json
def rotate(
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
    """Make the next epoch's key although there is one; rounds that run keep theirs. The daemons carry it out.

    Exit codes: as `medweave keys watch`; 3 if there is no key yet.
    """
    reader = _signing_reader(Home(home), read_password(password_file, password_fd))
    if not reader.view.active_epoch:
        raise BadInput("there is no key to replace: `medweave keys run` makes the first one")
    present = epoch_facts(reader.view, reader.view.epochs[reader.view.active_epoch])
    chosen = parameters or present.parameters
    wait = None if no_wait else timeout
    return _ceremony(Home(home), reader, chosen, threshold or present.threshold, wait, as_json=as_json)


def _running(view: ConsortiumView) -> bool:
    return any(epoch.running for epoch in view.epochs.values())


def _ceremony(
    home: Home,
    reader: _Reader,
    parameters: str | None,
    threshold: int | None,
    timeout: float | None,
    *,
    as_json: bool,
) -> int:
    if not _running(reader.view):
        config, members = home.config(), len(reader.view.hospitals)
        file = home.file(config.rounds.plan)
        plan = Plan.from_toml(file) if file.exists() else None
        chosen = threshold or (plan.threshold if plan else -(-2 * members // 3))
        least = config.rounds.min_threshold or members // 2 + 1
        if not least <= chosen <= members:
            raise PolicyRefusal(f"--threshold {chosen}: this hospital asks for {least} to {members} openers")
        name = parameters or (plan.parameter_set if plan else "standard")
        open_ceremony(reader.chain, name, chosen, allow_minimal=_testing())
        _until_seen(reader)
    number = max(reader.view.epochs)
    if timeout is None:
        facts = epoch_facts(reader.view, reader.view.epochs[number])
        click.echo(json.dumps(facts.to_json()) if as_json else f"epoch {number}  {facts.status}: {facts.progress}")
        return 0
    return _watch(reader, number, timeout, as_json=as_json)


def _until_seen(reader: _Reader) -> None:
    """Wait until the ceremony just opened is in the view."""
    end = time.monotonic() + 30
    while not _running(reader.view):
        if time.monotonic() > end:
            raise PeerProblem("the ceremony was opened, but the chain does not show it; look with `medweave keys show`")
        time.sleep(0.1)
        reader.follower.look()


@command.command("verify")
@_chain_options
@_epoch
@click.option(
    "--blobs", multiple=True, help="Directory with blobs, or a node's URL; repeatable. Default: the home, the members."
)
@_json
def verify(
    home: Path | None,
    rpc: str | None,
    contracts: Path | None,
    epoch: int | None,
    blobs: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Check a ceremony from outside: dealings, joint key, self-test, complaints. No key is needed.

    Exit codes: 0 verified; 1 something is false, and the offender is named where it can be known; 2 it could not be checked.
    """
    from node.audit.evidence import open_evidence

    reader = _Reader.of(home, rpc, contracts)
    places = blobs or (
        *([str(home)] if home and (home / "blobs").is_dir() else []),
        *(hospital.url for hospital in reader.view.hospitals if hospital.url),
    )
    source = _Blobs(open_evidence(places))
    chosen = reader.epoch(epoch)
    consortium = reader.chain.deployment.consortium
    report = Examination(reader.view, chosen, consortium, source, allow_minimal=_testing()).report()
    names = [hospital.name for hospital in reader.view.hospitals]
    if as_json:
        rows = [asdict(finding) for finding in report.findings]
        offenders = [names[k] for k in report.offenders]
        facts = {"epoch": report.epoch, "status": status(reader.view, chosen), "verdict": report.verdict}
        click.echo(json.dumps({**facts, "offenders": offenders, "findings": rows}, indent=2))
    else:
        for finding in report.findings:
            click.echo(f"{_MARKS[finding.verdict]}{finding.subject}{': ' + finding.detail if finding.detail else ''}")
        for offender in report.offenders:
            click.echo(f"at fault: {names[offender]}")
        click.echo(f"epoch {report.epoch} ({status(reader.view, chosen)}): {report.verdict}")
    return {VERIFIED: 0, FALSE: 1, UNCHECKED: 2}[report.verdict]


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


@command.command("backup")
@home_option
@password_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@_json
def backup(home: Path, password_file: Path | None, password_fd: int | None, out: Path, *, as_json: bool) -> None:
    """Write this hospital's secrets to one file, sealed under its keystore password.

    Keep it off this machine, and make a new one after every key epoch: a share that is lost cannot be made again.
    """
    if out.exists():
        raise BadInput(f"--out {out}: exists already; a backup never overwrites")
    data, names = back_up(Home(home), read_password(password_file, password_fd))
    write_private(out, data)
    if as_json:
        click.echo(json.dumps({"file": str(out), "bytes": len(data), "holds": names}))
    else:
        click.echo(f"{out}: {len(data):,} bytes, {len(names)} files, sealed under the keystore password")


@command.command("restore")
@home_option
@password_options
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="File that `medweave keys backup` wrote.",
)
@click.option("--offline", is_flag=True, help="Do not ask the chain which round is open. Read the help first.")
@_json
def restore_command(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    source: Path,
    *,
    offline: bool,
    as_json: bool,
) -> None:
    """Put a backup's secrets into a new directory.

    What the lost node promised in the round that is open is not known any more, so the restored one opens no sums in it:
    otherwise two sums that differ by one update might be opened. With --offline start the node only after that round.
    """
    if home.exists() and any(home.iterdir()):
        raise BadInput(f"--home {home}: is not empty; restore into a new directory")
    password = read_password(password_file, password_fd)
    files = open_backup(source.read_bytes(), password)
    fresh = home.with_name(home.name + ".restoring")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        restore(files, fresh, password)
        number = None if offline else _sit_out(Home(fresh))
        if home.exists():
            home.rmdir()
        fresh.rename(home)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    if as_json:
        click.echo(json.dumps({"home": str(home), "restored": sorted(files), "sits_out_round": number}))
    else:
        click.echo(f"{home}: {len(files)} files restored" + (f"; opens no sums in round {number}" if number else ""))


def _sit_out(home: Home) -> int | None:
    """Promise to open nothing in the round that is open; its number, or None."""
    reader = _Reader.at(Chain(home.config().chain.rpc, read_deployment(home)))
    current = reader.view.current
    if current is None or not current.open:
        return None
    journal = Journal(home.journal)
    try:
        journal.promise(current.round, "opened", RESTORED)
    finally:
        journal.close()
    return current.round


def _testing() -> bool:
    return os.environ.get(TESTING_VARIABLE) == "1"
