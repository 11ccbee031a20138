"""The arithmetic of `benchmarks.soak`, and its looking at a real process."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import soak as bench
from benchmarks.errors import NotMeasured
from benchmarks.soaking import HOSPITALS, Sample, Soak, look, predicted, size_of_files
from node.demo.processes import HospitalProcess

BLOBS = 7_000_000


def run(*, memory=0.0, descriptors=0.0, blobs=1.0, rounds=40) -> Soak:
    """A network whose last hospital gains so much memory (share) and so many descriptors a round."""
    samples = []
    for number in range(1, rounds + 1):
        for hospital in range(HOSPITALS):
            bad = hospital == HOSPITALS - 1
            used = round(4e8 * (1 + (memory * number if bad else 0)))
            files = 60 + (int(descriptors * number) if bad else 0)
            left = round(BLOBS * number * (blobs if bad else 1))
            samples.append(
                Sample(hospital, number, used, used // 2, files, 20, left, 1000 * number, left + 2000 * number)
            )
    return Soak(tuple(samples), tuple(range(rounds)), (2.0,) * rounds, BLOBS)


def verdicts(found: Soak) -> list[bool]:
    return [target.holds for target in bench.summarise(found).targets]


def test_what_does_not_grow_holds():
    assert verdicts(run()) == [True] * 4


@pytest.mark.parametrize(
    ("change", "missed"),
    [({"memory": 0.003}, 0), ({"descriptors": 0.2}, 1), ({"blobs": 1.2}, 2), ({"blobs": 0.8}, 3)],
)
def test_one_hospital_that_grows_is_found(change, missed):
    assert verdicts(run(**change)) == [number != missed for number in range(4)]


def test_a_peak_at_the_end_is_no_growth():
    found = run()
    *rest, last = found.samples
    peak = Sample(last.hospital, last.round, 3 * last.memory_bytes, *(getattr(last, n) for n in Sample.__slots__[3:]))
    assert verdicts(Soak((*rest, peak), found.chain_bytes, found.round_seconds, BLOBS))[0]


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=30, unique=True), st.floats(-1e3, 1e3), st.floats(-1e6, 1e6))
def test_a_line_has_its_slope(rounds, gradient, start):
    rounds.sort()
    values = [start + gradient * number for number in rounds]
    assert bench.slope(rounds, values) == pytest.approx(gradient, abs=1e-6)


def test_one_round_has_no_slope():
    with pytest.raises(NotMeasured, match="needs two"):
        bench.slope([1], [2.0])


def test_the_first_half_does_not_count():
    rounds, values = bench.second_half(run(rounds=10), 0, "round")
    assert rounds == [6, 7, 8, 9, 10] == values


def test_a_round_leaves_its_ciphertexts():
    said = {"updates": [{}] * 4, "bytes": {"upload": 1000, "shares": 100}}
    assert predicted(said, openers=3, parameters=10) == 5 * 1000 + 3 * 100 + 40
    with pytest.raises(NotMeasured, match="how many bytes"):
        predicted({"updates": []}, openers=3, parameters=10)


def test_a_process_and_its_children_are_looked_at(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "a").write_bytes(bytes(1000))
    (tmp_path / "ledger.sqlite").write_bytes(bytes(100))
    (tmp_path / "ledger.sqlite-wal").write_bytes(bytes(10))
    grandchild = "import subprocess,sys; subprocess.Popen([sys.executable,'-c','input()']); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", grandchild], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = look(HospitalProcess(2, "c", tmp_path, "", 0, process=process), 7)
        process.communicate(b"\n\n")
    assert (found.hospital, found.round) == (2, 7)
    assert (found.blob_bytes, found.database_bytes, found.home_bytes) == (1000, 110, 1110)
    assert found.memory_bytes > found.daemon_bytes > 1_000_000
    assert found.descriptors >= 6, "three streams of each"
    assert found.threads >= 2
    with pytest.raises(NotMeasured, match="not started"):
        look(HospitalProcess(2, "c", tmp_path, "", 0), 1)


def test_a_file_that_goes_away_counts_nothing(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / "never")
    assert size_of_files(tmp_path) == 0


def test_too_few_rounds_are_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--rounds", "2"])
    assert "at least 8" in capsys.readouterr().err
