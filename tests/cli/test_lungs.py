"""`medweave lungs`, and what is cropped with it: images taken in, and images asked about."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from node.cli.data import command as data
from node.cli.init import command as init
from node.cli.lungs import command as lungs
from node.cli.plan import command as plan
from node.cli.predict import command as predict
from node.config import ChainSection, Hospital, NodeConfig, Rounds
from node.errors import BadInput
from node.home import Home
from node.images.archive import load_saved
from node.images.dataset import save
from node.images.organs import drawn_organs
from node.images.phantom import draw
from node.images.slices import square
from node.learning.errors import MalformedLungs, WrongData
from node.learning.inference import Asked
from node.learning.parameters import initial, model_bytes
from node.learning.segmentation.file import digest_of
from node.learning.segmentation.lungs import Lungs
from node.planning.choice import refusals
from node.planning.first import images_of
from node.planning.text import plan_toml
from node.rounds.plan import Plan
from tests.lungs import lungs_file


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network(tmp_path_factory, worker_id):
    """A network that finds lungs in phantoms."""
    return lungs_file(tmp_path_factory, worker_id)


@pytest.fixture
def blank(tmp_path):
    """A slice without lungs."""
    path = tmp_path / "blank.png"
    Image.new("L", (64, 64), 250).save(path)
    return path


@pytest.fixture
def slices(tmp_path):
    """A folder of phantoms, one of which shows nothing."""
    drawn = draw(16, 64, 5, scanner=2).dataset
    for label, patient, image in zip(drawn.labels, drawn.patients, drawn.images, strict=True):
        folder = tmp_path / "set" / drawn.class_names[label]
        folder.mkdir(parents=True, exist_ok=True)
        name = patient.replace("phantom ", "").replace("/", "-")
        Image.fromarray(image).save(folder / f"{name}_{len(list(folder.iterdir()))}.png")
    Image.new("L", (64, 64), 250).save(tmp_path / "set" / drawn.class_names[0] / "blank_0.png")
    return tmp_path / "set"


def test_a_network_is_learnt_from_masks_and_shown(tmp_path):
    drawn = drawn_organs(16, 32, 1)
    names = np.array(drawn.class_names)
    masks = {"images": drawn.images, "masks": drawn.masks, "class_names": names, "patients": drawn.patients}
    np.savez(tmp_path / "masks.npz", **masks)
    out = tmp_path / "lungs.bin"
    options = ("--out", out, "--image-size", 32, "--epochs", 1, "--held-out", 0.25)
    told = run(lungs, "train", tmp_path / "masks.npz", *options)
    assert told.exit_code == 0, told.exception
    assert "epoch 1 of 1, loss" in told.stderr
    assert "left" in told.stderr
    digest = digest_of(out.read_bytes())
    assert f"{digest}  {out}" in told.stdout
    assert "measured on 4 slices of 2 patients it did not learn from" in told.stdout
    assert "SYNTHETIC" not in told.output
    shown = json.loads(run(lungs, "show", out, "--json").output)
    assert shown["digest"] == digest
    assert shown["lungs"] == ["lung"]
    assert shown["learnt_from"] == 12
    assert len(shown["dice"]) == 4
    again = run(lungs, "train", "--phantoms", 16, *options, "--json")
    assert json.loads(again.stdout)["synthetic"]
    assert "SYNTHETIC" in again.stderr
    assert "SYNTHETIC" in run(lungs, "show", out).output
    assert digest_of(out.read_bytes()) != digest


def test_what_cannot_be_learnt_from_is_named(tmp_path):
    out = tmp_path / "lungs.bin"
    assert isinstance(run(lungs, "train", "--out", out).exception, BadInput)
    (tmp_path / "bad.npz").write_bytes(b"PK")
    assert isinstance(run(lungs, "train", tmp_path / "bad.npz", "--phantoms", 16, "--out", out).exception, BadInput)
    assert "bad.npz" in str(run(lungs, "train", tmp_path / "bad.npz", "--out", out).exception)
    wrong = run(lungs, "train", "--phantoms", 16, "--lung", "liver", "--out", out)
    assert isinstance(wrong.exception, WrongData)
    (tmp_path / "cut.bin").write_bytes(b"\xa1")
    assert isinstance(run(lungs, "show", tmp_path / "cut.bin").exception, MalformedLungs)
    assert not out.exists()


def test_images_are_taken_in_cropped_and_say_by_what(tmp_path, network, slices):
    plain, cropped = tmp_path / "plain", tmp_path / "cropped"
    assert run(data, "import", slices, "--out", plain).return_value == 0
    told = run(data, "import", slices, "--out", cropped, "--crop-lungs", network, "--json")
    assert told.return_value == 0, told.exception
    digest, report = digest_of(network.read_bytes()), json.loads(told.output)
    assert report["train"]["cropped"] == report["validation"]["cropped"] == report["test"]["cropped"] == digest
    assert "uncropped" not in json.loads((cropped / "card.json").read_text())
    left = 0
    for part in ("train", "validation", "test"):
        before, after = load_saved(plain / f"{part}.npz"), load_saved(cropped / f"{part}.npz")
        assert after.cropped == digest
        assert np.array_equal(before.patients, after.patients)
        expected, cut = Lungs.read(network).cut(before.images)
        assert np.array_equal(after.images, expected)
        same = (before.images == after.images).all(axis=(1, 2))
        assert same[before.patients == "blank"].all()
        assert same[~cut].all()
        left += int((~cut).sum())
    assert 1 <= left < 9
    assert report["uncropped"] == left
    shown = run(data, "check", slices, "--crop-lungs", network)
    assert f"{left} of 17 slices left as they were" in shown.output
    assert digest in shown.output
    assert "uncropped" not in json.loads(run(data, "check", slices, "--json").output)
    again = run(data, "import", cropped / "train.npz", "--out", tmp_path / "twice", "--crop-lungs", network)
    assert isinstance(again.exception, WrongData)
    assert "already" in str(again.exception)


def test_a_new_hospital_takes_its_images_in_cropped(tmp_path, network, slices):
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    options = ("--name", "A", "--password-file", password, "--crop-lungs", network)
    wrong = run(init, "--home", tmp_path / "bare", *options)
    assert isinstance(wrong.exception, BadInput)
    assert not (tmp_path / "bare").exists()
    told = run(init, "--home", tmp_path / "home", *options, "--images", slices)
    assert told.exit_code == 0, told.exception
    digest = digest_of(network.read_bytes())
    assert load_saved(tmp_path / "home" / "data" / "train.npz").cropped == digest


def test_a_model_is_asked_about_what_it_learnt_from(tmp_path, network, blank):
    model = tmp_path / "model.bin"
    model.write_bytes(model_bytes(initial("capsnet", 2, 3), "capsnet", 2))
    drawn = draw(4, 64, 5, scanner=2)
    image = drawn.dataset.images[0]
    Image.fromarray(image).save(tmp_path / "p.png")
    found = run(
        *(predict, model, tmp_path / "p.png", blank, "--crop-lungs", network),
        *("--saliency", tmp_path / "maps", "--target", 1, "--json"),
    )
    assert found.return_value == 0, found.exception
    told = json.loads(found.output)
    assert told["crop_lungs"] == digest_of(network.read_bytes())
    assert [each["cropped"] for each in told["files"]] == [[True], [False]]
    seen, _ = Lungs.read(network).cut(square(image)[None])
    asked = Asked(initial("capsnet", 2, 3), "capsnet", 2, 64)
    np.testing.assert_allclose(told["files"][0]["slices"], asked.probabilities(seen), atol=1e-4)
    drawing = asked.pictures(seen[0], 1, beside=True).overlay
    assert (tmp_path / "maps" / "p.png.0.class1.png").read_bytes() == drawing
    plain = json.loads(run(predict, model, tmp_path / "p.png", "--json").output)
    assert plain["files"][0]["cropped"] == [False]
    assert "crop_lungs" not in plain
    assert "not cropped: no lungs found" in run(predict, model, blank, "--crop-lungs", network).output
    assert "not cropped" not in run(predict, model, blank).output


def test_validation_images_have_to_be_prepared_alike(tmp_path, network):
    model = tmp_path / "model.bin"
    model.write_bytes(model_bytes(initial("capsnet", 2, 3), "capsnet", 2))
    drawn = draw(16, 64, 5).dataset
    save(drawn, tmp_path / "validation.npz")
    Image.fromarray(drawn.images[0]).save(tmp_path / "p.png")
    asked = (predict, model, tmp_path / "p.png", "--validation", tmp_path / "validation.npz")
    assert run(*asked).return_value == 0
    wrong = run(*asked, "--crop-lungs", network)
    assert isinstance(wrong.exception, BadInput)
    assert "prepare both in the same way" in str(wrong.exception)
    save(Lungs.read(network).prepare(drawn)[0], tmp_path / "validation.npz")
    assert run(*asked, "--crop-lungs", network).return_value == 0
    assert isinstance(run(*asked).exception, BadInput)


def test_a_model_is_not_asked_about_slices_prepared_otherwise_than_its_plan_says(tmp_path, network, blank):
    model, digest = tmp_path / "model.bin", digest_of(network.read_bytes())
    model.write_bytes(model_bytes(initial("capsnet", 2, 3), "capsnet", 2))
    for wanted, right, wrong in ((digest, ("--crop-lungs", network), ()), ("", (), ("--crop-lungs", network))):
        file = tmp_path / "plan.toml"
        file.write_text(plan_toml(Plan.of({"classes": ("a", "b"), "crop_lungs": wanted})))
        assert run(predict, model, blank, "--plan", file, *right).return_value == 0
        refused = run(predict, model, blank, "--plan", file, *wrong)
        assert isinstance(refused.exception, BadInput)
        assert "the plan's" in str(refused.exception)


def test_a_first_plan_is_of_the_images_as_they_are_prepared(tmp_path, network):
    home = Home(tmp_path)
    hospital = Hospital(name="A", port=8470, url="http://127.0.0.1:8470")
    NodeConfig(hospital=hospital, chain=ChainSection(rpc="http://127.0.0.1:1")).write(home.config_file)
    (tmp_path / "data").mkdir()
    images, digest = draw(16, 64, 5).dataset, digest_of(network.read_bytes())
    for each, expected in ((images, ""), (Lungs.read(network).prepare(images)[0], digest)):
        save(each, tmp_path / "data" / "train.npz")
        out = tmp_path / "plan.toml"
        told = run(plan, "new", "--home", tmp_path, "--out", out, "--force")
        assert told.exit_code == 0, told.exception
        found = Plan.from_toml(out)
        assert found.crop_lungs == expected
        assert not list(refusals(found, Rounds(), 4, images_of(tmp_path / "data" / "train.npz")))
    save(images, tmp_path / "data" / "train.npz")
    (said,) = refusals(found, Rounds(), 4, images_of(tmp_path / "data" / "train.npz"))
    assert digest[:16] in said
    assert "this hospital's are not cropped" in said


def test_a_hospital_looks_before_it_crops(tmp_path, network, blank):
    drawn = draw(4, 64, 5, scanner=2)
    Image.fromarray(drawn.dataset.images[0]).save(tmp_path / "p.png")
    (tmp_path / "b.dcm").write_bytes(b"\0" * 300)
    told = run(lungs, "look", network, tmp_path / "p.png", blank, tmp_path / "b.dcm", "--out", tmp_path / "seen")
    assert told.return_value == 1
    assert "b.dcm: not read" in told.stderr
    assert "p.png.0.png  cropped" in told.stdout
    assert "blank.png.0.png  left as it is" in told.stdout
    pictures = {path.name: np.asarray(Image.open(path)).astype(int) for path in (tmp_path / "seen").iterdir()}
    assert {picture.shape for picture in pictures.values()} == {(384, 768, 3)}
    left, right = np.split(pictures["p.png.0.png"], 2, axis=1)
    assert (left[..., 0] - left[..., 2] > 100).mean() > 0.005
    assert (right[..., 0] == right[..., 2]).all()
    assert np.abs(left - right).mean() > 10
    assert (np.split(pictures["blank.png.0.png"], 2, axis=1)[1] == 250).all()
