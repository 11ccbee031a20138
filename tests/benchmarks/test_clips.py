"""Answers by clip, by hand and through the command."""

import json

import numpy as np
import pytest

from benchmarks import learning
from benchmarks.clips import by_clip, clips_in, clips_of
from benchmarks.errors import NotMeasured
from node.images.dataset import load
from node.images.phantom import generate


@pytest.fixture
def archive(tmp_path):
    """Sixteen patients of one clip with three frames each, the last six to be asked about."""
    data = generate(48, size=32, seed=1)
    whose = np.repeat(np.arange(16), 3)
    path = tmp_path / "clips.npz"
    np.savez(
        path,
        images=data.images,
        labels=(whose % 2).astype(np.int64),
        patients=np.array([f"p{k}" for k in whose]),
        class_names=np.array(data.class_names),
        train_idx=np.arange(30),
        test_idx=np.arange(30, 48)[::-1],
        videos=np.array([f"clip {k}" for k in whose]),
    )
    return path


def test_a_clips_answer_is_the_mean_of_its_frames():
    answers = np.array([[0.2, 0.8], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5]], dtype=np.float32)
    clips, patients = np.array(["b", "a", "b", "a"]), np.array(["q", "p", "q", "p"])
    means, labels, whose = by_clip(answers, np.array([1, 0, 1, 0]), patients, clips)
    np.testing.assert_allclose(means, [[0.7, 0.3], [0.4, 0.6]], atol=1e-6)
    assert labels.tolist() == [0, 1]
    assert whose.tolist() == ["p", "q"]


def test_frames_are_known_by_their_pixels_in_any_order(archive):
    clips = clips_in(archive)
    _, test = load(archive)
    assert clips_of(test, clips).tolist() == [f"clip {k // 3}" for k in range(47, 29, -1)]


def test_an_archive_that_cannot_say_is_refused(archive):
    arrays = dict(np.load(archive))
    np.savez(archive, **{**arrays, "images": np.repeat(arrays["images"][:1], 48, axis=0)})
    with pytest.raises(NotMeasured, match="share a frame"):
        clips_in(archive)
    arrays.pop("videos")
    np.savez(archive, **arrays)
    with pytest.raises(NotMeasured, match="no array videos"):
        clips_in(archive)


def test_the_command_tells_figures_by_clip(archive, tmp_path, capsys):
    file = tmp_path / "found.json"
    words = [
        "--data",
        str(archive),
        "--by-clip",
        "--one-place-only",
        "--hospitals",
        "2",
        "--rounds",
        "1",
        "--epochs",
        "1",
    ]
    words += ["--seeds", "1", "--model", "cnn", "--image-size", "32", "--out", str(tmp_path), "--json", str(file)]
    assert learning.main(words) == 0
    (row,) = [each for each in json.loads(file.read_text())["rows"] if "by clip" in each["table"]]
    assert row["clips"] == 6
    with pytest.raises(SystemExit):
        learning.main(["--by-clip"])
    assert "give an npz archive" in capsys.readouterr().err
