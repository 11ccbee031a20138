"""Which key ceremonies a hospital takes part in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chain.cohort import verify_cohort
from node.errors import PolicyRefusal

if TYPE_CHECKING:
    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView


@dataclass(frozen=True)
class KeyPolicy:
    """What a hospital insists on in keys."""

    min_threshold: int = 0
    """Refuse keys that fewer members could open; 0: more than half of those who hold it. Anybody may open a ceremony on
    chain, and with at most half of the holders two disjoint sets could open different sums."""
    min_cohort: int = 0
    """Refuse keys that a cohort of fewer members is to hold."""

    def least_openers(self, holders: int) -> int:
        """The fewest openers it accepts among so many holders."""
        return self.min_threshold or holders // 2 + 1

    def verify(self, consortium: bytes, epoch: EpochView) -> None:
        """Raise unless this hospital takes part in a ceremony or refresh.

        Args:
            consortium: Its id, 32 bytes.
            epoch: The ceremony as the chain shows it.

        Raises:
            PolicyRefusal: Too few could open sums, or its cohort is small.
            WrongCohort: Its cohort is not the one that was drawn.
        """
        holders, drawn = len(epoch.seats), epoch.drawn
        if drawn is not None:
            verify_cohort(consortium, epoch.epoch, drawn.due_seed(consortium), drawn.candidates, epoch.seats)
            if holders < self.min_cohort:
                raise PolicyRefusal(
                    f"epoch {epoch.epoch}: a cohort of {holders} is to hold its key, this hospital's policy "
                    f"([rounds] min_cohort) asks for at least {self.min_cohort}"
                )
        if epoch.threshold < (least := self.least_openers(holders)):
            raise PolicyRefusal(
                f"epoch {epoch.epoch}: any {epoch.threshold} members could open sums, this hospital's policy "
                f"([rounds] min_threshold) asks for at least {least}"
            )


def why_without(view: ConsortiumView, epoch: EpochView, seat: int) -> str:
    """Why a member holds no share in a ceremony or refresh, for people.

    Args:
        view: What the chain said so far.
        epoch: The ceremony.
        seat: The member's.
    """
    drawn = view.epochs[epoch.epoch].drawn
    if drawn is not None and seat in drawn.candidates:
        return f"resting: the cohort of epoch {epoch.epoch} was drawn without this hospital"
    return f"holding no share of epoch {epoch.epoch}, whose ceremony was opened before this hospital joined"
