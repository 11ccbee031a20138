"""The paper's table and figures on little images: whose images each score is of, and which models each part trains."""

import json
from argparse import Namespace

import numpy as np
import pytest

from benchmarks import paper
from benchmarks.federation import Run, Split
from node.images.phantom import generate
from node.learning.metrics import predict
from node.learning.parameters import initial
from node.learning.settings import TrainingSettings

TINY = TrainingSettings(architecture="cnn", image_size=32, epochs=1, batch_size=8)
LITTLE = ["--image-size", "32", "--rounds", "1", "--epochs", "1", "--seeds", "1", "--model", "cnn"]


@pytest.fixture(scope="module")
def split():
    return Split(tuple(generate(12, 32, 0, scanner) for scanner in range(3)), generate(12, 32, 1))


def test_the_papers_table_has_its_shape(tmp_path):
    file = tmp_path / "found.json"
    assert (
        paper.main([*LITTLE, "--phantoms", "40", "--hospitals-to", "3", "--out", str(tmp_path), "--json", str(file)])
        == 0
    )
    rows = json.loads(file.read_text())["rows"]
    names = [row["name"] for row in rows if row["table"].startswith("Table 4")]
    assert names == ["Local I", "Local II", "Local III", "Local, mean", "FedAvg", "FedAvg-Blockchain", "FedProx"]
    by_name = {row["name"]: row for row in rows if row["table"].startswith("Table 4")}
    assert by_name["FedAvg"]["local"] == pytest.approx(by_name["FedAvg"]["generalisation"])
    assert by_name["Local, mean"]["local"] == pytest.approx(np.mean([by_name[n]["local"] for n in paper.LOCALS]))
    drawn = {f"figure{n}.svg" for n in ("7", "7-time", "8", "8-time", "10")}
    assert drawn <= {path.name for path in tmp_path.iterdir()}


def test_one_part_of_the_paper_trains_only_what_it_needs(tmp_path, capsys):
    words = [*LITTLE, "--phantoms", "40", "--out", str(tmp_path / "out"), "--keep", str(tmp_path / "kept")]
    assert paper.main([*words, "--part", "fig7"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == ["FedAvg-Blockchain"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"figure7.svg", "figure7-time.svg"}
    kept = set((tmp_path / "kept").iterdir())
    file = tmp_path / "found.json"
    assert paper.main([*words, "--part", "fig7", "fig10", "--json", str(file)]) == 0
    assert len(set((tmp_path / "kept").iterdir()) - kept) == 3  # the three that are alone
    found = json.loads(file.read_text())
    shares = [row for row in found["rows"] if row["table"].startswith("Figure 10")]
    assert [row["name"] for row in shares] == [*paper.LOCALS, "FedAvg-Blockchain"]
    assert found["targets"] == []
    with pytest.raises(SystemExit):
        paper.main([*words, "--part", "fig9"])


def test_the_papers_scores_are_of_the_images_they_name(split):
    """Local: on one's own held-out patients; generalisation: on the others'; a joint model is everyone's."""
    drawn = generate(24, 32, 20)
    ill, well = np.flatnonzero(drawn.labels == 1), np.flatnonzero(drawn.labels == 0)
    tests = tuple(
        drawn.take([*ill[:count], *well[: 8 - count]]) for count in (1, 3, 6)
    )  # one answer is not one accuracy
    table = paper.Table4(split, tests)
    jobs = {job.name: job for job in table.jobs(TINY, 1, 1)}
    assert list(jobs) == list(paper.MODELS)
    assert jobs["FedProx"].settings.proximal_mu == paper.MU
    model = initial("cnn", 2, 0)
    run = Run((predict(model, split.test, TINY),), model, (1.0,))
    here = [np.mean(predict(model, each, TINY).argmax(1) == each.labels) for each in tests]
    assert len(set(here)) == 3
    alone_two, joint = (table.scores(jobs[name], run) for name in ("Local II", "FedAvg"))
    assert alone_two["local"] == pytest.approx(here[1])
    assert alone_two["generalisation"] == pytest.approx(np.mean([here[0], here[2]]))
    assert joint["local"] == pytest.approx(np.mean(here)) == pytest.approx(joint["generalisation"])
    assert joint["global_test"] == pytest.approx(np.mean(run.answers[0].argmax(1) == split.test.labels))


def test_more_hospitals_share_the_same_images(split):
    options = Namespace(hospitals_to=5, rounds=1, threads=1)
    jobs = paper.figure8_jobs(options, generate(60, 32, 3), split.test, TINY)
    assert [len(job.split.hospitals) for job in jobs] == [3, 4, 5]
    assert all(sum(map(len, job.split.hospitals)) == 60 for job in jobs)
    run = Run((predict(initial("cnn", 2, 0), split.test, TINY),), np.zeros(1, np.float32), (2.0,))
    rows = paper.figure8(jobs, [run] * 3, split.test)
    assert [(row.figures["hospitals"], row.figures["time_seconds"]) for row in rows] == [(3, 2.0), (4, 2.0), (5, 2.0)]
    assert rows[2].figures["least_images"] == min(map(len, jobs[2].split.hospitals)) <= 12
