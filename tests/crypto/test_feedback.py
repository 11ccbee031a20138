"""CRY-6, optional: what quantisation takes from one update comes back with the next."""

import numpy as np
import pytest

from crypto.errors import ValueOutOfRange
from crypto.feedback import Feedback
from crypto.packing import dequantise, quantise

LIMIT = 20
STEPS = np.full(500, 0.05)


def rounds(updates: list[np.ndarray], *, feedback: bool) -> np.ndarray:
    """What all rounds together have delivered."""
    state, delivered = Feedback.none(500), np.zeros(500)
    for number, update in enumerate(updates):
        wanted = state.correct(update) if feedback else update.astype(np.float64)
        ints, _ = quantise(wanted, STEPS, LIMIT, bytes([number]) * 32)
        delivered += dequantise(ints, STEPS)
        if feedback:
            state = state.after(wanted, ints, STEPS, LIMIT)
    return delivered


def test_nothing_is_lost_for_good():
    """Without clipping, what is missing after many rounds is what the last one lost: less than a step."""
    rng = np.random.default_rng(0)
    updates = [rng.normal(0, 0.2, 500).clip(-0.9, 0.9).astype(np.float32) for _ in range(30)]
    wanted = np.sum(updates, axis=0, dtype=np.float64)
    assert np.abs(rounds(updates, feedback=True) - wanted).max() <= 0.05 + 1e-5
    assert np.abs(rounds(updates, feedback=False) - wanted).max() > 0.1


def test_what_was_clipped_is_made_up_for():
    updates = [np.full(500, 1.5, np.float32), *[np.zeros(500, np.float32)] * 3]
    assert np.abs(rounds(updates, feedback=True) - 1.5).max() <= 0.05 + 1e-5
    assert np.allclose(rounds(updates, feedback=False), 1.0)


def test_what_is_carried_over_is_bounded():
    """A value clipped in every round does not pile up more than one full range."""
    state = Feedback.none(500)
    for _ in range(50):
        wanted = state.correct(np.full(500, 10.0, np.float32))
        state = state.after(wanted, np.full(500, LIMIT), STEPS, LIMIT)
    assert np.abs(state.lost).max() <= LIMIT * 0.05 + 1e-6
    assert state.lost.dtype == np.float32


def test_it_fits_one_model_only_and_is_not_printed():
    with pytest.raises(ValueOutOfRange, match="start afresh"):
        Feedback.none(3).correct(np.zeros(4))
    assert "lost" not in repr(Feedback(np.full(3, 0.25, np.float32)))
    assert not Feedback.none(3).lost.any()
