# ruff: noqa: N818  (an error is named after what is wrong)
"""What can be wrong with a data set.

    DataError
    ├── UnreadableData      the file or folder is missing, damaged, too large or no known layout
    ├── WrongShape          arrays whose shapes, types or lengths do not fit together
    ├── NoLabels            no class, a single class, or labels outside the named classes
    ├── TooFewImages        not enough images or patients for what was asked
    ├── BadPartition        a partition or split that is described wrongly
    ├── BadWindow           a grey-value window that is none
    ├── BadCard             a data card, as somebody shows it, that is none
    └── Unusable            one file of a set; the message is the reason alone

Every message is one line: what was wrong, where, what was expected, what to do.
"""

from __future__ import annotations


class DataError(Exception):
    """Base of every error about a data set."""


class UnreadableData(DataError):
    """A file or folder that is missing, damaged, too large, or of no known layout."""


class WrongShape(DataError):
    """Arrays whose shapes, types or lengths do not fit together."""


class NoLabels(DataError):
    """No class, a single class, or labels outside the named classes."""


class TooFewImages(DataError):
    """Not enough images or patients for what was asked."""


class BadPartition(DataError):
    """A partition or split that is described wrongly."""


class BadWindow(DataError):
    """A grey-value window that is none."""


class BadCard(DataError):
    """What somebody shows as a data card is none; the message names the field."""


class Unusable(DataError):
    """One file of a set that cannot be used; the message is the reason alone, who reads the set adds the file."""
