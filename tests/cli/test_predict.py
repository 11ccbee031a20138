import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from node.cli.predict import command
from node.errors import BadInput
from node.images.dataset import save
from node.images.phantom import draw
from node.images.slices import square
from node.learning.errors import MalformedModel
from node.learning.metrics import predict
from node.learning.parameters import initial, model_bytes
from node.learning.quality import youden_thresholds
from node.learning.settings import TrainingSettings
from tests.images.test_scans import steps, write_dicom, write_nifti


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(model_bytes(initial("capsnet", 2, 3), "capsnet", 2))
    return path


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


def test_it_answers_as_the_rounds_do(tmp_path, model):
    drawn = draw(4, 64, seed=2).dataset
    for index, image in enumerate(drawn.images):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    found = run(model, *(tmp_path / f"{index}.png" for index in range(4)), "--json")
    assert found.return_value == 0
    answers = np.array([each["slices"][0] for each in json.loads(found.output)["files"]])
    from node.images.dataset import resize
    from node.images.record import Dataset

    stored = Dataset(
        np.stack([square(i) for i in drawn.images]), drawn.labels, drawn.patients, drawn.class_names, "x", True
    )
    expected = predict(initial("capsnet", 2, 3), resize(stored, 64), TrainingSettings())
    np.testing.assert_allclose(answers, expected, atol=1e-4)


def test_scans_overlays_and_bad_files(tmp_path, model):
    scan = write_dicom(tmp_path / "a.dcm", steps())
    volume = write_nifti(tmp_path / "v.nii.gz", np.random.default_rng(0).integers(-900, 40, (16, 16, 5)))
    bad = tmp_path / "b.dcm"
    bad.write_bytes(b"\0" * 300)
    out = tmp_path / "maps"
    found = run(model, scan, volume, bad, "--saliency", out, "--target", 1, "--json")
    assert found.return_value == 1
    files = json.loads(found.output)["files"]
    assert [len(each.get("slices", ())) for each in files] == [1, 4, 0]
    assert "no readable DICOM" in files[2]["error"]
    pictures = sorted(out.iterdir())
    assert len(pictures) == 5
    assert Image.open(pictures[0]).size == (1024, 512)


def test_wrong_input_is_named(tmp_path, model):
    picture = tmp_path / "p.png"
    Image.new("L", (32, 32), 9).save(picture)
    assert isinstance(run(model, picture, "--target", 7).exception, BadInput)
    cut = tmp_path / "cut.bin"
    cut.write_bytes(model.read_bytes()[:-1])
    assert isinstance(run(cut, picture).exception, MalformedModel)
    assert "not a medical device" in run(model, picture).output


def test_thresholds_come_from_validation_images(tmp_path, model):
    drawn = draw(30, 64, seed=5).dataset
    save(drawn, tmp_path / "validation.npz")
    picture = tmp_path / "p.png"
    Image.fromarray(drawn.images[0]).save(picture)
    found = run(model, picture, "--validation", tmp_path / "validation.npz", "--json")
    told = json.loads(found.output)
    expected = youden_thresholds(predict(initial("capsnet", 2, 3), drawn, TrainingSettings()), np.asarray(drawn.labels))
    np.testing.assert_allclose(told["thresholds"], expected, atol=1e-4)
    assert told["calibration"]["images"] == len(drawn)
    assert "at the thresholds: " in run(model, picture, "--validation", tmp_path / "validation.npz").output
