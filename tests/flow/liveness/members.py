"""Ways to fail without leading: silent, contradicting oneself, sending garbage."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from dag.bodies import AcknowledgementBody, Kind, ShareBody, VerdictBody, commit
from node.rounds import effects as do
from node.rounds.records import ShareManifest
from tests.flow.liveness.faulty import Faulty

if TYPE_CHECKING:
    from node.rounds.effects import Effect


class Withholding(Faulty):
    """Never does a step."""

    usable = True
    step: ClassVar[type] = do.ReleaseShare

    def instead(self, effect: Effect) -> bool:
        return isinstance(effect, self.step)


class NoVerdict(Withholding):
    """Opens and keeps its scores to itself."""

    step = do.PostVerdict


class NoCheckpoint(Withholding):
    """Signs nothing."""

    step = do.PostCheckpoint


class NoClose(Withholding):
    """Never closes its list, so it never reveals."""

    step = do.Close


class NoReveal(Withholding):
    """Posts an update that nobody can unlock."""

    step = do.Reveal


class NoUpdate(Withholding):
    """Takes part in all but the training."""

    step = do.TrainAndSeal


class Gone(Withholding):
    """Is not there at all."""

    def instead(self, effect: Effect) -> bool:
        self.net.crash(self.node, None)
        return True


class NoiseShare(Faulty):
    """Its share points to blobs that are no openings."""

    usable = True

    def instead(self, effect: Effect) -> bool:
        if not isinstance(effect, do.ReleaseShare):
            return False
        proposal, ports, facts = self.state.proposals[effect.proposal], self.ports, self.state.facts
        chunks = ports.keys.joint.params.chunks(self.net.size)
        groups = tuple(
            tuple(ports.blobs.store.put(self.rng.randbytes(300)) for _ in range(chunks)) for _ in proposal.groups
        )
        manifest = ShareManifest(ports.consortium.id, facts.epoch, facts.round, proposal.id, self.node.index, groups)
        payload = ports.blobs.store.put(manifest.to_bytes())
        self.post(Kind.SHARE, ShareBody(proposal.id, self.node.index), payload=payload)
        return True


class TwoShares(Faulty):
    """Two shares of one proposal, each half sees another first."""

    usable = True

    def then(self, effect: Effect) -> None:
        if not isinstance(effect, do.ReleaseShare) or self.done:
            return
        said = self.said(Kind.SHARE)
        if said is None:
            return
        self.done = True
        manifest = ShareManifest.from_bytes(self.ports.blobs.obtain(said.payload))
        turned = replace(manifest, groups=tuple(group[::-1] for group in manifest.groups[::-1]))
        self.contradict(said, said.body, self.ports.blobs.store.put(turned.to_bytes()))


class TwoVerdicts(Faulty):
    """Accepts for one half and refuses for the other."""

    usable = True

    def then(self, effect: Effect) -> None:
        if not isinstance(effect, do.PostVerdict) or self.done:
            return
        self.done = True
        said = self.said(Kind.VERDICT)
        if said is not None and isinstance(said.body, VerdictBody):
            self.contradict(said, replace(said.body, accept=tuple(not yes for yes in said.body.accept)), None)


class TwoUpdates(Faulty):
    """Two updates of one round."""

    usable = True

    def then(self, effect: Effect) -> None:
        if isinstance(effect, do.PostUpdate) and not self.done:
            self.done = True
            said = self.said(Kind.UPDATE)
            if said is not None:
                self.contradict(said, replace(said.body, commitment=commit(b"another")), said.payload)


class TwoCloses(Faulty):
    """Ends its list twice."""

    usable = True

    def then(self, effect: Effect) -> None:
        if isinstance(effect, do.Close) and not self.done:
            self.done = True
            closes = [tx_id for tx_id, member in self.state.closes if member == self.node.index]
            if closes:
                self.contradict(self.ports.ledger.get(closes[0]), AcknowledgementBody(None, close=True), None)


class RefusesAll(Faulty):
    """Votes against every group."""

    usable = True

    def instead(self, effect: Effect) -> bool:
        if not isinstance(effect, do.PostVerdict):
            return False
        scores = self.state.scores
        body = VerdictBody(scores.proposal, (0,) * len(scores.accept), 0, (False,) * len(scores.accept), 1)
        self.post(Kind.VERDICT, body)
        return True


MEMBERS: dict[str, type[Faulty]] = {
    "no-share": Withholding,
    "no-verdict": NoVerdict,
    "no-checkpoint": NoCheckpoint,
    "no-close": NoClose,
    "no-reveal": NoReveal,
    "no-update": NoUpdate,
    "gone": Gone,
    "noise-share": NoiseShare,
    "two-shares": TwoShares,
    "two-verdicts": TwoVerdicts,
    "two-updates": TwoUpdates,
    "two-closes": TwoCloses,
    "refuses-all": RefusesAll,
}
