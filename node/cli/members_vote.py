"""`medweave members propose-remove`, `leave`, `rotate`, `resize`: what a member proposes and signs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.votes import Removal, Resizing, Rotation, sign_vote
from node.cli.options import home_option, password_options, read_password
from node.cli.reader import Reader
from node.errors import BadInput, PeerProblem
from node.home import Home, unlock_identity
from node.membership.book import MotionBook
from node.membership.motion import Motion
from node.membership.succession import prepare
from node.membership.tally import DONE, Tally, describe, tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.votes import Vote
    from node.consortium.view import ConsortiumView
    from node.home import Identity

yes_option = click.option("--yes", is_flag=True, help="Do not ask: the fingerprint was compared.")
hours_option = click.option(
    "--hours", type=click.FloatRange(0.01, 24 * 90), default=24.0, show_default=True, help="How long it may be signed."
)
wait_option = click.option(
    "--wait", type=click.FloatRange(0), default=0.0, help="Wait so many seconds for it to be carried out."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the motion and who has signed as JSON.")


class Desk:
    """A hospital's book, chain and key, as a command uses them.

    Args:
        home: The hospital's directory.
        password: Opens its keys.
        as_json: Print the outcome as JSON alone, and what is said on the way to standard error.
    """

    def __init__(self, home: Home, password: str, *, as_json: bool = False) -> None:
        self.home = home
        self._as_json = as_json
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

    def sign(self, motion: Motion, *, yes: bool, wait: float, then: Callable[[], None] = lambda: None) -> None:
        """Show a motion, ask, sign it, keep the signature for the daemon to carry; wait for the outcome if told to.

        Args:
            motion: The motion.
            yes: Do not ask.
            wait: Seconds to wait for it to be carried out; 0 does not.
            then: Done once it is signed.

        Raises:
            BadInput: This hospital may not vote, or the motion is over.
            PeerProblem: It was not carried out in time.
        """
        view = self.reader.view
        if all(hospital.account != self.account for _, hospital in view.present):
            raise BadInput(f"account {self.account} is no member's: only members vote")
        if ended := self.standing(motion).ended:
            raise BadInput(f"motion {motion.id.hex()[:16]}…: {ended}")
        self.say(f"{motion.id.hex()[:16]}  {describe(motion, view)}")
        if not yes:
            click.confirm("Sign it?", abort=True, err=self._as_json)
        self.book.add(motion, self.account, sign_vote(motion.vote, self.reader.chain.deployment, self.identity.account))
        standing = self.standing(motion)
        self.say(f"signed: {len(standing.signatures)} of {standing.quorum}; this hospital's daemon tells the others")
        then()
        self.wait(motion, wait)
        if self._as_json:
            click.echo(json.dumps(motion_facts(motion, self.standing(motion), self.reader.view), ensure_ascii=False))

    def say(self, text: str) -> None:
        """A line for whoever watches."""
        click.echo(text, err=self._as_json)

    def wait(self, motion: Motion, seconds: float) -> None:
        """Wait until a motion is carried out.

        Args:
            motion: The motion.
            seconds: How long; 0 does not wait.

        Raises:
            BadInput: It ended otherwise.
            PeerProblem: It was not carried out in time.
        """
        end = time.monotonic() + seconds
        while seconds:
            self.reader.follower.look()
            ended = self.standing(motion).ended
            if ended == DONE:
                self.say(DONE)
                return
            if ended:
                raise BadInput(f"motion {motion.id.hex()[:16]}…: {ended}")
            if time.monotonic() > end:
                raise PeerProblem(
                    f"motion {motion.id.hex()[:16]}… was not carried out within {seconds:g} s; it stays pending"
                )
            time.sleep(0.2)


def desk_of(home: Path, password_file: Path | None, password_fd: int | None, *, as_json: bool = False) -> Desk:
    """The desk of a hospital, by the options of its commands."""
    return Desk(Home(home), read_password(password_file, password_fd), as_json=as_json)


def motion_facts(motion: Motion, standing: Tally, view: ConsortiumView) -> dict[str, Any]:
    """A motion as it is printed."""
    return {
        "id": motion.id.hex(),
        "what": describe(motion, view),
        "signed": [view.hospitals[seat].name for seat in sorted(standing.signatures)],
        "quorum": standing.quorum,
        "deadline": motion.deadline,
        "ended": standing.ended,
    }


@click.command("propose-remove")
@home_option
@password_options
@click.argument("who")
@hours_option
@yes_option
@wait_option
@json_option
def propose_remove(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    who: str,
    hours: float,
    wait: float,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Propose to remove a member, by seat, name or account, and sign it. A new key epoch follows."""
    desk = desk_of(home, password_file, password_fd, as_json=as_json)
    account = _account(desk, who)
    motion = desk.propose(lambda decision, until: Removal(account=account, decision=decision, deadline=until), hours)
    desk.sign(motion, yes=yes, wait=wait)


@click.command("leave")
@home_option
@password_options
@hours_option
@yes_option
@wait_option
@json_option
def leave(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    hours: float,
    wait: float,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Propose that this hospital leaves, and sign it: what `propose-remove` is for another.

    Keep the node running until the members have agreed: till then it is a member, and rounds wait for it. What it was sealed
    stays readable to it, the next key is not; it can only come back with new keys.
    """
    desk = desk_of(home, password_file, password_fd, as_json=as_json)
    motion = desk.propose(
        lambda decision, until: Removal(account=desk.account, decision=decision, deadline=until), hours
    )
    desk.sign(motion, yes=yes, wait=wait)


@click.command("rotate")
@home_option
@password_options
@hours_option
@yes_option
@wait_option
@json_option
def rotate(
    home: Path,
    password_file: Path | None,
    password_fd: int | None,
    hours: float,
    wait: float,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Make this hospital's next account and X25519 key, propose the exchange and sign it with the present account.

    The daemon goes on with the next keys as soon as the members have agreed; the round that is open then is sat out. Give
    the next account funds first.
    """
    desk = desk_of(home, password_file, password_fd, as_json=as_json)
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
@hours_option
@yes_option
@wait_option
@json_option
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
    as_json: bool,
) -> None:
    """Propose another declared data size, which caps a hospital's weight (eq. 19), and sign it."""
    desk = desk_of(home, password_file, password_fd, as_json=as_json)
    account = _account(desk, who) if who else desk.account
    motion = desk.propose(
        lambda decision, until: Resizing(account=account, data_size=images, decision=decision, deadline=until), hours
    )
    desk.sign(motion, yes=yes, wait=wait)


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


PROPOSALS: tuple[Any, ...] = (propose_remove, leave, rotate, resize)
