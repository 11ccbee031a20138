"""Draws from the round's seed: partitions, sizes, determinism, fairness."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crypto.errors import GroupTooSmall
from crypto.grouping import verify_grouping
from node.rounds.groups import (
    choose_openers,
    draw_groups,
    draw_partitions,
    group_seed,
    section_seed,
    seed_material,
    shuffled,
    tolerated_colluders,
)
from node.rounds.sections import count_of, cut, parts

SEEDS = st.binary(min_size=32, max_size=32)


def seed(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


@given(SEEDS, st.integers(1, 80), st.integers(1, 12))
def test_groups_are_a_partition_of_the_right_sizes(chance, count, least):
    assume(count >= least)
    groups = draw_groups(chance, count, least)
    assert sorted(i for group in groups for i in group) == list(range(count))
    sizes = [len(group) for group in groups]
    assert min(sizes) >= least
    assert max(sizes) - min(sizes) <= 1
    assert len(groups) == count // least
    assert all(list(group) == sorted(group) for group in groups)
    assert list(groups) == sorted(groups)
    assert draw_groups(chance, count, least) == groups


@given(SEEDS, st.integers(1, 40), st.integers(1, 12), st.data())
def test_who_is_left_out_is_in_no_group_and_the_others_are_a_partition(chance, count, least, data):
    out = data.draw(st.frozensets(st.integers(0, count - 1), max_size=count))
    assume(count - len(out) >= least)
    rest = data.draw(st.booleans())
    groups = draw_groups(chance, count, least, out, rest=rest)
    listed = [i for group in groups for i in group]
    assert len(set(listed)) == len(listed)
    assert out.isdisjoint(listed)
    assert all(len(group) >= least for group in groups)
    resting = rest and count - len(out) < 2 * least and count - len(out) > least
    assert len(listed) == count - len(out) - resting


@given(SEEDS, st.integers(1, 40), st.integers(1, 12), st.data())
def test_one_rounds_sums_never_show_fewer_than_they_should(chance, count, least, data):
    """The differencing rule holds whoever is left out: disjoint groups, each large enough, and nothing else is opened."""
    out = data.draw(st.frozensets(st.integers(0, count - 1), max_size=count))
    assume(count - len(out) >= least)
    groups = draw_groups(chance, count, least, out, rest=data.draw(st.booleans()))
    verify_grouping([{bytes([i]) for i in group} for group in groups], least)


def test_two_partitions_of_one_round_could_show_a_single_update():
    """Why one round opens one partition: with somebody else left out, the difference of two sums is two updates apart."""
    one, two = ({bytes([i]) for i in group} for group in ((0, 1, 2), (0, 1, 3)))
    with pytest.raises(GroupTooSmall):
        verify_grouping([two], 3, opened=[one])


def test_who_rests_is_drawn_fairly():
    rested = Counter(next(iter({0, 1, 2, 3} - set(draw_groups(seed(n), 4, 3, rest=True)[0]))) for n in range(2000))
    assert all(abs(count - 500) < 6 * (2000 * 3 / 16) ** 0.5 for count in rested.values())
    assert len(rested) == 4


@given(SEEDS, st.integers(-3, 20), st.integers(-3, 20))
def test_too_few_updates_form_no_group(chance, count, least):
    assume(least < 1 or count < least)
    with pytest.raises(ValueError, match="cannot form"):
        draw_groups(chance, count, least)


def test_the_draw_is_pinned():
    """An auditor of an old round must draw what its members drew: a change of the draw breaks every lineage."""
    assert draw_groups(seed(1), 9, 3) == ((0, 4, 7), (1, 6, 8), (2, 3, 5))
    assert shuffled(seed(1), range(9)) == [4, 5, 6, 0, 3, 1, 7, 2, 8]


def test_every_pair_is_grouped_about_equally_often():
    """8 updates in 2 groups of 4: a pair shares a group with probability 3/7; 6 sigma of slack over 2000 seeds."""
    together: Counter = Counter()
    rounds = 2000
    for number in range(rounds):
        for group in draw_groups(seed(number), 8, 4):
            together.update(itertools.combinations(group, 2))
    expected = rounds * 3 / 7
    slack = 6 * (rounds * 3 / 7 * 4 / 7) ** 0.5
    assert len(together) == 28
    assert all(abs(count - expected) < slack for count in together.values())


def test_every_order_of_a_shuffle_comes_up():
    orders = Counter(tuple(shuffled(seed(number), "abc")) for number in range(1200))
    assert len(orders) == 6
    assert all(abs(count - 200) < 6 * 200**0.5 for count in orders.values())


@given(SEEDS, st.binary(min_size=32, max_size=32), st.lists(st.binary(min_size=32, max_size=32), max_size=4), st.data())
def test_the_group_seed_depends_on_everything_in_it(chance, root, reveals, data):
    """The last member to reveal, the leader and the chain each change the draw."""
    assume(bytes(32) not in reveals)
    base = group_seed(chance, root, reveals)
    which = data.draw(st.sampled_from(["seed", "root", "more", *(["one"] if reveals else [])]))
    flipped = bytes([chance[0] ^ 1]) + chance[1:]
    other = {
        "seed": lambda: group_seed(flipped, root, reveals),
        "root": lambda: group_seed(chance, bytes([root[0] ^ 1]) + root[1:], reveals),
        "more": lambda: group_seed(chance, root, [*reveals, bytes(32)]),
        "one": lambda: group_seed(chance, root, [bytes(b ^ 255 for b in reveals[0]), *reveals[1:]]),
    }[which]()
    assert other != base
    assert group_seed(chance, root, list(reveals)) == base


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=4), st.binary(min_size=32, max_size=32))
def test_the_next_seed_takes_reveals_and_ledger(reveals, root):
    assume(bytes(32) not in reveals)
    assert seed_material(reveals, root) != seed_material(reveals, bytes(b ^ 1 for b in root))
    assert seed_material([*reveals, bytes(32)], root) != seed_material(reveals, root)
    assert seed_material(reveals, root) != group_seed(root, root, reveals)


@given(SEEDS, st.permutations(range(9)), st.integers(0, 9), st.integers(0, 9), st.integers(1, 9))
def test_openers_are_taken_rank_by_rank(chance, members, first, second, threshold):
    low, high = sorted((first, second))
    ranks = [set(members[:low]), set(members[low:high]), set(members[high:])]
    openers = choose_openers(chance, ranks, threshold)
    assert len(openers) == len(set(openers)) == threshold
    assert list(openers) == sorted(openers)
    rank_of = {member: number for number, rank in enumerate(ranks) for member in rank}
    worst = max(rank_of[member] for member in openers)
    assert all(member in openers for member in members if rank_of[member] < worst), "nobody better is passed over"
    assert choose_openers(chance, ranks, threshold) == openers


@given(SEEDS, st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=4, unique=True), st.randoms())
def test_revealing_again_or_in_another_order_draws_nothing_new(root, reveals, chance):
    """Else whoever speaks last repeats its own reveal until it likes the groups."""
    again = [*reveals, *reveals[:2]]
    chance.shuffle(again)
    assert group_seed(root, root, again) == group_seed(root, root, reveals)
    assert seed_material(again, root) == seed_material(reveals, root)


@pytest.mark.parametrize(("sizes", "tolerated"), [((1,), 0), ((2, 5), 0), ((3, 4), 1), ((10,), 8)])
def test_colluders_tolerated_follow_from_the_smallest_group(sizes, tolerated):
    assert tolerated_colluders(sizes) == tolerated


@given(SEEDS, st.integers(3, 30), st.integers(1, 5), st.integers(1, 8), st.booleans())
def test_every_section_has_a_partition_of_its_own(chance, count, least, sections, rest):
    """Equally many groups in each, no member twice in one, the first as without sections; each seed another draw."""
    least = min(least, count)
    groups = draw_partitions(chance, count, least, rest=rest, sections=sections)
    drawn = parts(groups, sections)
    assert drawn[0] == draw_groups(chance, count, least, rest=rest)
    for section, partition in enumerate(drawn):
        listed = [number for group in partition for number in group]
        assert len(set(listed)) == len(listed) >= count - 1
        assert min(map(len, partition)) >= least
        assert partition == draw_groups(section_seed(chance, section), count, least, rest=rest)
    assert len({section_seed(chance, section) for section in range(sections)}) == sections
    if sections <= least:  # what plans may ask for: then somebody is in all sections, though in each another may rest
        assert count_of(groups) == sections


@given(st.integers(1, 10**6), st.integers(1, 50_000), st.integers(1, 8))
def test_sections_are_whole_chunks_and_hold_every_value_once(size, per_chunk, wanted):
    sections = cut(size, per_chunk, wanted)
    chunks = -(-size // per_chunk)
    assert len(sections) == min(wanted, chunks)
    assert [k for section in sections for k in range(chunks)[section.chunks]] == list(range(chunks))
    assert sections[0].values.start == 0
    assert sections[-1].values.stop == size
    for section, after in pairwise(sections):
        assert section.values.stop == after.values.start == section.chunks.stop * per_chunk
    lengths = [section.chunks.stop - section.chunks.start for section in sections]
    assert max(lengths) - min(lengths) <= 1


def test_sections_of_groups_by_hand():
    assert parts("abcdef", 3) == (("a", "b"), ("c", "d"), ("e", "f"))
    assert count_of([(0, 1), (2, 3), (0, 2), (1, 3)]) == 2
    assert count_of([]) == 1
    with pytest.raises(ValueError, match="5 groups are not as many in each of 2 sections"):
        parts(range(5), 2)
