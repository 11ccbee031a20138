"""What can keep a benchmark from measuring.

BenchmarkError(Exception)
└── NotMeasured       something did not run to its end, so there is no figure
"""

from __future__ import annotations


class BenchmarkError(Exception):
    """Base of everything raised here on purpose."""


class NotMeasured(BenchmarkError):  # noqa: N818  (names the finding)
    """Something did not run to its end; the message says what, and its last words."""
