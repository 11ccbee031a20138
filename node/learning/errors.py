# ruff: noqa: N818  (an error is named after what is wrong)
"""What can go wrong while learning.

    LearningError
    ├── UnknownArchitecture   no network of that name
    ├── MissingLibrary        a network needs an optional library that is not installed
    ├── BadSettings           a training setting out of its range
    ├── WrongData             a data set that does not fit the settings
    ├── WrongVector           a parameter vector of the wrong length or type, or not finite
    ├── MalformedModel        bytes that are no model file, naming the field
    ├── MalformedLungs        a file that holds no network that finds lungs, naming the field
    ├── MalformedCheckpoint   bytes that are no training checkpoint, naming the field
    └── TrainingDiverged      the loss or the parameters stopped being finite numbers

Every message is one line: what was wrong, where, what was expected, what to do.
"""

from __future__ import annotations


class LearningError(Exception):
    """Base of every error about models and training."""


class UnknownArchitecture(LearningError):
    """No network of that name."""


class MissingLibrary(LearningError):
    """A network needs an optional library that is not installed; the message says what to install."""


class BadSettings(LearningError):
    """A training setting out of its range."""


class WrongData(LearningError):
    """A data set that does not fit the settings."""


class WrongVector(LearningError):
    """A parameter vector of the wrong length or type, or with values that are no finite numbers."""


class MalformedModel(LearningError):
    """Bytes that are no model file; the message names the field."""


class MalformedLungs(LearningError):
    """A file that holds no network that finds lungs, or another version's; the message names the field."""


class MalformedCheckpoint(LearningError):
    """Bytes that are no checkpoint of a training; the message names the field."""


class TrainingDiverged(LearningError):
    """The loss or the parameters stopped being finite numbers."""
