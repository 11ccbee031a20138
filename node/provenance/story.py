"""What chain and blobs tell of a model: its plan, its rounds, who took part, how it was scored, who signed for it.

Every fact hangs on the chain by a digest: statements and plans by the one the chain names, ledger segments by the CID in the
statement, verdicts by their ids in it. What those facts claim (sample counts, scores) is the members' own word all the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from dag.bodies import VerdictBody
from node.consortium.view import address_bytes
from node.errors import LyingPeer
from node.provenance.envelopes import members_of
from node.provenance.errors import NoSuchModel, NotAtHand
from node.rounds.dsse import Envelope, verify_envelope
from node.rounds.plan import Plan
from node.rounds.sections import count_of
from node.rounds.segment import unpack_segment
from node.rounds.statement import Statement
from node.storage import blob_cid, raw_cid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chain.deployment import Deployment
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.rounds.statement import Predicate

PPM: Final = 1_000_000


class Shelf(Protocol):
    """Where blobs and envelopes come from: the places a reader named, or a node's own store."""

    def blob(self, cid: str) -> bytes | None:
        """A blob, checked against its CID; None where there is no intact copy."""

    def envelope(self, number: int) -> bytes | None:
        """The envelope of a round's statement, not verified; None where there is none."""


@dataclass(frozen=True)
class Score:
    """How several members scored one thing, each on its own held-out images. Shares lie in [0, 1]."""

    members: int
    images: int
    """Held-out images of all of them together."""
    mean: float
    """Accuracy over all their images."""
    low: float
    """The lowest member's."""
    high: float
    """The highest member's."""


@dataclass(frozen=True)
class Participant:
    """A hospital whose update is in a round's sums."""

    name: str
    account: str
    samples: int
    """Training images it declares."""
    weight_ppm: int
    """Its weight by eq. 19, parts per million."""
    accepted: bool
    """Whether a sum that holds it entered the model."""


@dataclass(frozen=True)
class Group:
    """One opened sum."""

    size: int
    """Updates in it."""
    accepted: bool
    score: Score
    """Of the base model with this group's mean, alone in its section."""


@dataclass(frozen=True)
class RoundStory:
    """One finalised round."""

    number: int
    epoch: int
    base: str
    model: str
    leader: str
    """Name of the hospital that proposed the sums."""
    participants: tuple[Participant, ...]
    sections: int
    """Parts of the model that were summed in groups of their own."""
    groups: tuple[Group, ...]
    """Of all sections, one section after the other, as many in each."""
    before: Score
    """Of the base model, which the round before made."""
    parameter_set: str
    min_group: int
    colluders_tolerated: int
    software: str
    statement: str
    """Digest on chain."""
    envelope: str | None
    """CID of the envelope at hand, which convinced; None where none is."""
    signers: int
    """Members whose signatures are in that envelope; without one, those the chain counted under the outcome."""
    quorum: int


@dataclass(frozen=True)
class Hospital:
    """A member, as the chain registered it."""

    name: str
    account: str
    declared: int
    """Images it says it has."""
    present: bool
    """Whether it is a member now."""


@dataclass(frozen=True)
class Story:
    """A model's story, first round first."""

    model: str
    made_in: int
    """Round that made it; 0 for the initial model."""
    plan: Plan | None
    """Of that round; for an initial model of the first round after it, None where there is none yet."""
    consortium: str
    chain_id: int
    contract: str
    """Address of ModelLedger."""
    hospitals: tuple[Hospital, ...]
    rounds: tuple[RoundStory, ...]
    aborted: int
    """Rounds up to this model that ended without one."""
    after: Score | None
    """Of this model as a whole, by the members of the next round; None where none has been finalised."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        plan = None if self.plan is None else self.plan.model_dump(mode="json")
        return asdict(self) | {"plan": plan}

    @property
    def curve(self) -> tuple[tuple[int, Score], ...]:
        """(round, score of the model as it stood after that round); 0 is the initial model."""
        known = [(story.number - 1, story.before) for story in self.rounds]
        return (*known, (self.made_in, self.after)) if self.after is not None else tuple(known)


def tell(view: ConsortiumView, deployment: Deployment, model: bytes, shelf: Shelf) -> Story:
    """A model's story.

    Args:
        view: What the chain says.
        deployment: Which chain and contracts.
        model: Hash of the model, 32 bytes.
        shelf: Gives blobs and envelopes.

    Raises:
        NoSuchModel: The chain does not record it.
        NotAtHand: A statement, plan or ledger segment is in no place named.
        LyingPeer: What is there contradicts the chain; `BadEnvelope` where it is an envelope.
        BadPlan: A plan is not in a form this software reads.
    """
    made = view.models.get(model)
    if made is None:
        raise NoSuchModel(f"model {model.hex()}")
    rounds = [row for row in view.rounds.values() if row.round <= made.round]
    following = next(
        (r for r in view.rounds.values() if r.finalised and r.round > made.round and r.base == model), None
    )
    planned = view.rounds.get(made.round, following)
    return Story(
        model=model.hex(),
        made_in=made.round,
        plan=None
        if planned is None
        else Plan.from_bytes(_needed(shelf, planned.plan, f"the plan of round {planned.round}")),
        consortium=deployment.consortium.hex(),
        chain_id=deployment.chain_id,
        contract=deployment.models,
        hospitals=tuple(
            Hospital(h.name, h.account, h.data_size, seat in view.members) for seat, h in enumerate(view.hospitals)
        ),
        rounds=tuple(_round(view, row, shelf) for row in rounds if row.finalised),
        aborted=sum(row.aborted for row in rounds),
        after=None if following is None else _round(view, following, shelf).before,
    )


def statement_of(row: RoundView, shelf: Shelf) -> Statement:
    """The statement the chain names for a finalised round.

    Raises:
        NotAtHand: It is in no place named.
        LyingPeer: It is not about the round or model of which the chain names it.
    """
    statement = Statement.from_bytes(_needed(shelf, row.statement or b"", f"the statement of round {row.round}"))
    said = (statement.predicate.round, statement.predicate.model.sha256)
    if said != (row.round, (row.model or b"").hex()):
        raise LyingPeer(f"the statement of round {row.round} is about round {said[0]} and model {said[1][:16]}…")
    return statement


def envelope_of(row: RoundView, shelf: Shelf) -> Envelope | None:
    """The envelope of a finalised round, verified; None where no place has one.

    Raises:
        BadEnvelope: It is not signed by a quorum of the round's members.
        LyingPeer: It holds another statement.
    """
    data = shelf.envelope(row.round)
    if data is None:
        return None
    verify_envelope(data, members_of(row), row.quorum)
    envelope = Envelope.from_bytes(data)
    if envelope.statement().digest != row.statement:
        raise LyingPeer(f"envelope of round {row.round}: it holds another statement than the chain names")
    return envelope


def _round(view: ConsortiumView, row: RoundView, shelf: Shelf) -> RoundStory:
    statement, envelope = statement_of(row, shelf), envelope_of(row, shelf)
    said = statement.predicate
    bodies = _verdicts(said, shelf, row.round)
    return RoundStory(
        number=row.round,
        epoch=row.epoch,
        base=row.base.hex(),
        model=said.model.sha256,
        leader=_name(view, row.leader or ""),
        participants=tuple(_participants(view, said)),
        sections=count_of(group.updates for group in said.groups),
        groups=tuple(
            Group(len(group.updates), group.accepted, _score(bodies, at)) for at, group in enumerate(said.groups)
        ),
        before=_score(bodies, None),
        parameter_set=said.parameter_set,
        min_group=said.min_group,
        colluders_tolerated=said.colluders_tolerated,
        software=said.software,
        statement=(row.statement or b"").hex(),
        envelope=None if envelope is None else blob_cid(envelope.to_bytes()),
        signers=row.signers.bit_count() if envelope is None else len(envelope.signatures),
        quorum=row.quorum,
    )


def _participants(view: ConsortiumView, said: Predicate) -> Iterable[Participant]:
    accepted = {at for group in said.groups if group.accepted for at in group.updates}
    for at, update in enumerate(said.updates):
        name = _name(view, update.issuer)
        yield Participant(name, update.issuer, update.samples, update.weight_ppm, at in accepted)


def _verdicts(said: Predicate, shelf: Shelf, number: int) -> tuple[VerdictBody, ...]:
    """The verdicts a statement counts, from the ledger segment it names."""
    data = shelf.blob(said.segment)
    if data is None:
        raise NotAtHand(f"the ledger segment of round {number} ({said.segment})")
    held = {transaction.id.hex(): transaction.body for transaction in unpack_segment(data)}
    bodies = tuple(body for v in said.verdicts if isinstance(body := held.get(v.id), VerdictBody))
    if len(bodies) != len(said.verdicts) or any(len(body.scores_ppm) != len(said.groups) for body in bodies):
        raise LyingPeer(f"the ledger segment of round {number} does not hold the verdicts its statement counts")
    return bodies


def _score(bodies: tuple[VerdictBody, ...], group: int | None) -> Score:
    """Of the base model, or of the base with one group."""
    shares = [(body.base_ppm if group is None else body.scores_ppm[group]) / PPM for body in bodies]
    images = sum(body.samples for body in bodies)
    mean = sum(share * body.samples for share, body in zip(shares, bodies, strict=True)) / images
    return Score(len(bodies), images, mean, min(shares), max(shares))


def _name(view: ConsortiumView, account: str) -> str:
    seat = view.seats.get(address_bytes(account))
    return account if seat is None else view.hospitals[seat].name


def _needed(shelf: Shelf, digest: bytes, what: str) -> bytes:
    data = shelf.blob(raw_cid(digest))
    if data is None:
        raise NotAtHand(what)
    return data
