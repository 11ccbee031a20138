"""The sections of an update, each summed in groups of its own (docs/spec/round.md, "Sections")."""

from collections import Counter

from common import demand


def places(section, count, chunks):
    """Which of an update's chunks are in a section."""
    return range(section * chunks // count, (section + 1) * chunks // count)


def part(items, count):
    """What is told of a round's groups, section by section."""
    each, rest = divmod(len(items), count)
    demand(not rest, f"{len(items)} groups are not as many in each of {count} sections")
    return [items[section * each : (section + 1) * each] for section in range(count)]


def count_of(groups):
    """How many sections groups are of: whoever is in most of them is in one group of each."""
    return max(Counter(member for group in groups for member in group).values(), default=1)
