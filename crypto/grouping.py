"""The differencing rule: what may be opened beside what has been opened before (docs/threat-model.md, min_group).

Whoever knows the sums of several groups knows all their linear combinations. Cut the updates of a round into the
finest pieces the groups distinguish: two updates are in one piece if they are in exactly the same groups. Every
combination of sums is a combination of sums of whole pieces, so if each piece holds at least ``min_group`` updates,
no combination isolates fewer, across retries and failed leaders too. For two groups this implies that they differ by at
least ``min_group`` updates; it is sound for any number of groups, and a little stricter than necessary.
"""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from crypto.errors import GroupTooSmall


def verify_grouping(
    groups: Iterable[AbstractSet[bytes]], min_group: int, opened: Iterable[AbstractSet[bytes]] = ()
) -> None:
    """Raise unless the groups may be opened in addition to what this round has opened already.

    Args:
        groups: update ids of each group whose sum shall be opened.
        min_group: smallest number of updates any knowledge may be narrowed down to, ≥ 1.
        opened: groups for which a partial opening has been released before in the same round.

    Raises:
        GroupTooSmall: some piece would hold fewer than ``min_group`` updates; re-use the earlier groups instead.
    """
    everything = [*opened, *groups]
    if not all(everything):
        raise GroupTooSmall("an empty group has no sum to open")
    memberships: dict[bytes, int] = {}
    for index, group in enumerate(everything):
        for update in group:
            memberships[update] = memberships.get(update, 0) | 1 << index
    smallest = min(Counter(memberships.values()).values(), default=min_group)
    if smallest < min_group:
        raise GroupTooSmall(
            f"these groups, beside those opened before, single out {smallest} update(s), the plan asks for at least "
            f"{min_group}: propose the groups that were opened before, or larger ones"
        )
