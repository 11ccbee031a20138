import json

import numpy as np
import pytest

from benchmarks import cropping
from node.images.phantom import generate
from tests.lungs import lungs_file


def test_a_larger_field_of_view_shows_the_same_smaller():
    drawn = generate(8, 64, 1)
    seen = cropping.widened(drawn, 0.5)
    assert seen.images.shape == drawn.images.shape
    inner = seen.images[:, 16:48, 16:48].astype(float)
    expected = drawn.images.reshape(8, 32, 2, 32, 2).mean(axis=(2, 4))
    assert np.abs(inner - expected).max() <= 1
    outer = seen.images.copy()
    outer[:, 16:48, 16:48] = 0
    for image, before in zip(outer, drawn.images, strict=True):
        assert set(np.unique(image)) <= {0, int(np.median(before[:2]))}


def test_the_table_has_both_arms_of_every_test():
    plain, crop = [{"a": 0.8}, {"a": 0.9}], [{"a": 0.7}, {"a": None}]
    (row,) = cropping.result(plain, crop, {"a": 3}).rows
    assert row.figures["plain"] == pytest.approx(0.85)
    assert (row.figures["cropped"], row.figures["cropped min"]) == (0.7, 0.7)
    assert row.figures["left"] == 3


def test_it_runs_and_writes(tmp_path, tmp_path_factory, worker_id, monkeypatch):
    monkeypatch.setattr(cropping, "ASKED", 8)
    file, out = lungs_file(tmp_path_factory, worker_id), tmp_path / "found.json"
    options = ["--slices", "8", "--epochs", "1", "--repeats", "1"]
    assert cropping.main(["--lungs", str(file), *options, "--json", str(out)]) == 0
    assert len(json.loads(out.read_text())["rows"]) == 4
    (tmp_path / "bad.bin").write_bytes(b"bad")
    assert cropping.main(["--lungs", str(tmp_path / "bad.bin"), *options]) == 2
