"""Which phase a hospital shows, where it did not see the round's end in the usual order."""

from __future__ import annotations

from dataclasses import replace

from node.rounds.phases import describe, phase

ME = 3


def test_a_hospital_that_missed_the_signatures_is_done_once_it_holds_the_model(played) -> None:
    state = replace(played.nodes[ME].runner.state, sendable_at=None)
    assert (state.adopted, phase(state), describe(state)) == (True, "done", "done")
    late = replace(state, adopted=False, scores=None, sealed=None)
    assert (phase(late), describe(late)) == ("adopt", "adopting")
    assert phase(replace(late, ending=replace(late.ending, finalised=False))) == "aborted"


def test_a_round_that_is_open_shows_its_first_phase_that_is_not_over(played) -> None:
    state = replace(played.nodes[ME].runner.state, ending=None, adopted=False)
    assert phase(replace(state, sendable_at=None)) == "sign"
    assert phase(replace(state, sendable_at=None, scores=None)) == "open"
