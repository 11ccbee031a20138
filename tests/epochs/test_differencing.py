"""The differencing rule across retries, failed leaders, liars and crashes: what a round ever opens isolates nobody.

Members keep real journals on disk and follow the rule of `node.rounds`: check the groups, promise one partition durably,
only then release. Byzantine members release for everything. A sum counts as opened once T members released for it.
"""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import GroupTooSmall
from crypto.grouping import verify_grouping
from dag.ids import sha256
from node.errors import PolicyRefusal
from node.rounds.groups import draw_groups
from node.rounds.journal import Journal
from node.rounds.steps.opening import partition_digest

UPDATES = 9
MIN_GROUP = 3

Partition = tuple[frozenset[bytes], ...]


def partition(seed: int, count: int = UPDATES) -> Partition:
    """What an honest leader proposes for the first `count` updates under some group seed."""
    groups = draw_groups(bytes([seed]) * 32, count, MIN_GROUP)
    return tuple(frozenset(bytes([i]) for i in group) for group in groups)


def proposal(groups: Partition) -> SimpleNamespace:
    """Roots that stand for exactly these groups."""
    updates = sha256(b"".join(sorted(set().union(*groups))))
    sums = sha256(b"|".join(b"".join(sorted(group)) for group in groups))
    return SimpleNamespace(updates_root=updates, sums_root=sums)


class Members:
    """N members of which the last few are Byzantine."""

    def __init__(self, root: Path, members: int, threshold: int, byzantine: int) -> None:
        self.root, self.threshold = root, threshold
        self.honest = range(members - byzantine)
        self.byzantine = set(range(members - byzantine, members))
        self.journals = {k: Journal(root / str(k)) for k in self.honest}
        self.released: dict[Partition, set[int]] = {}

    def restart(self, member: int) -> None:
        """Killed and started again: only what is on disk is known."""
        if member in self.journals:
            self.journals[member] = Journal(self.root / str(member))

    def ask(self, groups: Partition, members: list[int]) -> None:
        """A leader asks some members to open; attempts may be repeated, reach few, or come from a liar."""
        released = self.released.setdefault(groups, set(self.byzantine))
        for member in members:
            if member in self.byzantine:
                continue
            try:
                verify_grouping(groups, MIN_GROUP)
                self.journals[member].promise(1, "opened", partition_digest(proposal(groups)))
            except (GroupTooSmall, PolicyRefusal):
                continue
            released.add(member)

    @property
    def opened(self) -> list[frozenset[bytes]]:
        """Every group whose sum could be combined by anybody."""
        return [g for groups, who in self.released.items() if len(who) >= self.threshold for g in groups]


def any_partition() -> st.SearchStrategy[Partition]:
    """Honest draws of all or some updates, and what a lying leader might try: differing by one update, singles."""
    crafted = (
        (frozenset(map(bytes, ([0], [1], [2], [3]))),),
        (frozenset(map(bytes, ([0], [1], [2]))),),
        (frozenset([bytes([0])]),),
        tuple(frozenset([bytes([i])]) for i in range(3)),
    )
    return st.one_of(
        st.builds(partition, st.integers(0, 200), st.integers(MIN_GROUP, UPDATES)), st.sampled_from(crafted)
    )


ATTEMPTS = st.lists(
    st.tuples(any_partition(), st.lists(st.integers(0, 6), max_size=7), st.lists(st.integers(0, 6), max_size=3)),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([(4, 3, 1), (7, 5, 2), (5, 4, 1), (3, 2, 0), (3, 3, 2)]), ATTEMPTS)
def test_whatever_leaders_try_no_two_opened_sums_differ_by_fewer_than_min_group(shape, attempts):
    members, threshold, byzantine = shape
    assert 2 * threshold - members > byzantine, "the condition under which the rule holds"
    with tempfile.TemporaryDirectory() as root:
        net = Members(Path(root), members, threshold, byzantine)
        for groups, asked, killed in attempts:
            net.ask(groups, [k for k in asked if k < members])
            for member in killed:
                net.restart(member)
            verify_grouping(net.opened, MIN_GROUP)
        for one, other in combinations(set(net.opened), 2):
            assert len(one ^ other) >= MIN_GROUP


def test_a_retry_with_other_openers_opens_the_same_partition(tmp_path):
    net = Members(tmp_path, 4, 3, 1)
    first = partition(1)
    net.ask(first, [0, 1])
    net.ask(partition(2), [0, 1, 2, 3])
    net.ask(first, [2, 1])
    assert set(net.opened) == set(first)


def test_with_half_of_the_members_as_openers_two_partitions_can_be_opened(tmp_path):
    """Why the keeper refuses T ≤ N/2: two halves that promise different partitions open sums that differ by little."""
    net = Members(tmp_path, 4, 2, 0)
    full = partition(1, 9)
    less = partition(1, 8)
    net.ask(full, [0, 1])
    net.ask(less, [2, 3])
    with pytest.raises(GroupTooSmall):
        verify_grouping(net.opened, MIN_GROUP)


def test_the_rule_can_be_broken_where_nothing_is_promised(tmp_path):
    """The check of one proposal alone is not enough: without the journal the same attempts isolate an update."""
    net = Members(tmp_path, 4, 3, 1)
    net.journals = {k: SimpleNamespace(promise=lambda *_: None) for k in net.honest}
    for count in (9, 8):
        net.ask(partition(1, count), [0, 1, 2])
    with pytest.raises(GroupTooSmall):
        verify_grouping(net.opened, MIN_GROUP)
