"""`medweave members request`, `propose-admit`, `propose-remove`, `rotate`, `resize`, `approve`: asking, proposing, signing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.records import Hospital
from chain.votes import Admission, Removal, Resizing, Rotation, sign_vote
from node.cli.options import home_option, password_options, read_password
from node.cli.reader import Reader
from node.errors import BadInput, PeerProblem
from node.home import Home, read_deployment, unlock_identity
from node.membership.book import MotionBook
from node.membership.fingerprint import fingerprint
from node.membership.motion import Motion
from node.membership.request import read_request, write_request
from node.membership.succession import prepare
from node.membership.tally import DONE, Tally, describe, tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.votes import Vote
    from node.consortium.view import ConsortiumView
    from node.home import Identity

_yes = click.option("--yes", is_flag=True, help="Do not ask: the fingerprint was compared.")
_hours = click.option(
    "--hours", type=click.FloatRange(0.01, 24 * 90), default=24.0, show_default=True, help="How long it may be signed."
)
_wait = click.option(
    "--wait", type=click.FloatRange(0), default=0.0, help="Wait so many seconds for it to be carried out."
)


class Desk:
    """A hospital's book, chain and key, as a command uses them.

    Args:
        home: The hospital's directory.
        password: Opens its keys.
    """

    def __init__(self, home: Home, password: str) -> None:
        self.home = home
        self.identity: Identity = unlock_identity(home, password)
        self.reader = Reader.of(home.root, None, None)
        self.book = MotionBook(home.motions, self.reader.chain.deployment)
        self.account = str(self.identity.account.address)

    def standing(self, motion: Motion) -> Tally:
        """Where a motion stands now."""
        return tally(motion, self.book.signatures(motion), self.reader.view, time.time())

    def propose(self, make: Callable[[int, int], Vote], hours: float) -> Motion:
        """The motion over a vote of the registry's, made of the count of decisions and a deadline."""
        vote = make(self.reader.view.decisions, max(int(time.time()), self.reader.chain.now()) + int(hours * 3600))
        return Motion.of(vote, self.reader.chain.deployment)

    def sign(self, motion: Motion, *, yes: bool, wait: float) -> None:
        """Show a motion, ask, sign it, keep the signature for the daemon to carry; wait for the outcome if told to.

        Raises:
            BadInput: This hospital may not vote, or the motion is over.
        """
        view = self.reader.view
        if all(hospital.account != self.account for _, hospital in view.present):
            raise BadInput(f"account {self.account} is no member's: only members vote")
        if ended := self.standing(motion).ended:
            raise BadInput(f"motion {motion.id.hex()[:16]}…: {ended}")
        click.echo(f"{motion.id.hex()[:16]}  {describe(motion, view)}")
        if not yes:
            click.confirm("Sign it?", abort=True)
        self.book.add(motion, self.account, sign_vote(motion.vote, self.reader.chain.deployment, self.identity.account))
        standing = self.standing(motion)
        click.echo(f"signed: {len(standing.signatures)} of {standing.quorum}; this hospital's daemon tells the others")
        self._wait(motion, wait)

    def _wait(self, motion: Motion, seconds: float) -> None:
        end = time.monotonic() + seconds
        while seconds:
            self.reader.follower.look()
            ended = self.standing(motion).ended
            if ended == DONE:
                click.echo("carried out")
                return
            if ended:
                raise BadInput(f"motion {motion.id.hex()[:16]}…: {ended}")
            if time.monotonic() > end:
                raise PeerProblem(
                    f"motion {motion.id.hex()[:16]}… was not carried out within {seconds:g} s; it stays pending"
                )
            time.sleep(0.2)


def _desk(home: Path, password_file: Path | None, password_fd: int | None) -> Desk:
    return Desk(Home(home), read_password(password_file, password_fd))


@click.command("request")
@home_option
@password_options
@click.option(
    "--data-size", type=click.IntRange(1, 2**32 - 1), required=True, help="Training images, declared on chain."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; else it is printed.")
def request(home: Path, password_file: Path | None, password_fd: int | None, data_size: int, out: Path | None) -> None:
    """Ask to be admitted: a file with this hospital's public record, to be sent to any member.

    Read the fingerprint to the members by telephone: they compare it before they sign.
    """
    place = Home(home)
    identity, config = unlock_identity(place, read_password(password_file, password_fd)), place.config()
    account = str(identity.account.address)
    hospital = Hospital(account, identity.box.public, data_size, config.hospital.name, config.hospital.url)
    text = write_request(hospital, read_deployment(place), identity.account)
    if out is None:
        click.echo(text)
    else:
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(f"fingerprint {fingerprint(account, identity.box.public)}", err=True)


@click.command("propose-admit")
@home_option
@password_options
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@_hours
@_yes
@_wait
def propose_admit(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    file: Path,
    hours: float,
    wait: float,
    *,
    yes: bool,
) -> None:
    """Propose to admit the hospital that made a request, and sign it."""
    desk = _desk(home, password_file, password_fd)
    hospital = read_request(file.read_bytes(), desk.reader.chain.deployment)
    motion = desk.propose(
        lambda decision, until: Admission(hospital=hospital, decision=decision, deadline=until), hours
    )
    desk.sign(motion, yes=yes, wait=wait)


@click.command("propose-remove")
@home_option
@password_options
@click.argument("who")
@_hours
@_yes
@_wait
def propose_remove(
    home: Path, password_file: Path | None, password_fd: int | None, who: str, hours: float, wait: float, *, yes: bool
) -> None:
    """Propose to remove a member, by seat, name or account, and sign it. A new key epoch follows."""
    desk = _desk(home, password_file, password_fd)
    account = _account(desk, who)
    motion = desk.propose(lambda decision, until: Removal(account=account, decision=decision, deadline=until), hours)
    desk.sign(motion, yes=yes, wait=wait)


@click.command("rotate")
@home_option
@password_options
@_hours
@_yes
@_wait
def rotate(
    home: Path, password_file: Path | None, password_fd: int | None, hours: float, wait: float, *, yes: bool
) -> None:
    """Make this hospital's next account and X25519 key, propose the exchange and sign it with the present account.

    The daemon goes on with the next keys as soon as the members have agreed; the round that is open then is sat out. Give
    the next account funds first.
    """
    desk = _desk(home, password_file, password_fd)
    account, box = prepare(desk.home, desk.identity.password)
    motion = desk.propose(
        lambda decision, until: Rotation(
            account=desk.account, new_account=account, new_box_key=box, decision=decision, deadline=until
        ),
        hours,
    )
    desk.sign(motion, yes=yes, wait=wait)


@click.command("resize")
@home_option
@password_options
@click.argument("images", type=click.IntRange(1, 2**32 - 1))
@click.option("--of", "who", help="Of which member, by seat, name or account; default: this hospital.")
@_hours
@_yes
@_wait
def resize(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    images: int,
    who: str | None,
    hours: float,
    wait: float,
    *,
    yes: bool,
) -> None:
    """Propose another declared data size, which caps a hospital's weight (eq. 19), and sign it."""
    desk = _desk(home, password_file, password_fd)
    account = _account(desk, who) if who else desk.account
    motion = desk.propose(
        lambda decision, until: Resizing(account=account, data_size=images, decision=decision, deadline=until), hours
    )
    desk.sign(motion, yes=yes, wait=wait)


@click.command("approve")
@home_option
@password_options
@click.argument("motion")
@_yes
@_wait
def approve(
    home: Path, password_file: Path | None, password_fd: int | None, motion: str, wait: float, *, yes: bool
) -> None:
    """Sign what another member proposed, by the beginning of its id (`medweave members pending`).

    A signature cannot be taken back: it counts until the deadline, or until another decision is carried out.
    """
    desk = _desk(home, password_file, password_fd)
    desk.sign(desk.book.find(motion), yes=yes, wait=wait)


def _account(desk: Desk, who: str) -> str:
    """The account of a present member, by seat, name or account."""
    view = desk.reader.view
    seat = find_seat(view, who)
    if seat not in view.members:
        raise BadInput(f"{who!r}: {view.hospitals[seat].name} is no member any more")
    return view.hospitals[seat].account


def find_seat(view: ConsortiumView, who: str) -> int:
    """A seat by its number, its hospital's name or an account.

    Raises:
        BadInput: There is none, or several hospitals have the name.
    """
    for seat, hospital in enumerate(view.hospitals):
        if who == str(seat) or who.lower() == hospital.account.lower():
            return seat
    named = [seat for seat, hospital in enumerate(view.hospitals) if hospital.name == who]
    present = [seat for seat in named if seat in view.members] or named
    if len(present) != 1:
        raise BadInput(
            f"{who!r}: {len(present)} hospitals have this seat, account or name; see `medweave members list`"
        )
    return present[0]


PROPOSALS: tuple[Any, ...] = (request, propose_admit, propose_remove, rotate, resize, approve)
