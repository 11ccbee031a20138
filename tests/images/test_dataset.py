import contextlib
import csv
import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from node.images.dataset import load, load_saved, resize, save
from node.images.errors import DataError, NoLabels, TooFewImages, UnreadableData, WrongShape

from .conftest import make


def grouped(n=20):
    patients = np.array([f"p{index // 2}" for index in range(n)])
    return {
        "images": np.random.default_rng(0).integers(0, 256, (n, 32, 32), dtype=np.uint8),
        "labels": np.arange(n) // 2 % 2,
        "patients": patients,
        "class_names": np.array(["ill", "well"]),
        "train_idx": np.arange(0, n - 4),
        "test_idx": np.arange(n - 4, n),
    }


def write(path, arrays):
    np.savez(path, **arrays)
    return path


def test_grouped_layout_keeps_its_split(tmp_path):
    train, test = load(write(tmp_path / "ct.npz", grouped()))
    assert (len(train), len(test)) == (16, 4)
    assert set(train.patients).isdisjoint(test.patients)
    assert train.class_names == ("ill", "well")
    assert train.name == "ct train"
    assert not train.synthetic


def test_medmnist_layout_joins_val_to_training_and_makes_every_image_a_patient(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 12), ("val", 4), ("test", 6)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 2).astype(np.uint8).reshape(-1, 1)
    train, test = load(write(tmp_path / "m.npz", arrays))
    assert (len(train), len(test)) == (16, 6)
    assert train.patient_count == 16
    assert np.array_equal(train.images[12:], arrays["val_images"])


def test_colour_becomes_grey_as_pillow_has_it(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 3), dtype=np.uint8)
    arrays = {"train_images": colour, "train_labels": np.arange(4) % 2}
    arrays |= {"test_images": colour, "test_labels": np.arange(4) % 2}
    train, _ = load(write(tmp_path / "m.npz", arrays))
    pillow = np.stack([np.asarray(Image.fromarray(each).convert("L")) for each in colour])
    assert np.abs(train.images.astype(int) - pillow).max() <= 1


def test_saved_share_comes_back(tmp_path, toy):
    save(toy, tmp_path / "share.npz")
    back = load_saved(tmp_path / "share.npz")
    for field in ("images", "labels", "patients"):
        assert np.array_equal(getattr(back, field), getattr(toy, field))
    assert (back.class_names, back.name, back.synthetic) == (toy.class_names, toy.name, toy.synthetic)
    assert [file.name for file in tmp_path.iterdir()] == ["share.npz"]


def test_a_saved_share_loads_as_data_with_a_split_by_patient(tmp_path):
    save(make([0, 1] * 20), tmp_path / "share.npz")
    train, test = load(tmp_path / "share.npz")
    assert len(test) == 16
    assert set(train.patients).isdisjoint(test.patients)


def test_a_split_file_is_no_saved_share(tmp_path):
    with pytest.raises(UnreadableData, match="expected one saved share"):
        load_saved(write(tmp_path / "ct.npz", grouped()))


def test_saving_where_one_cannot_write_is_reported(tmp_path, toy):
    with pytest.raises(UnreadableData, match="cannot be written"):
        save(toy, tmp_path / "absent" / "share.npz")


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"train_idx": np.array([0, 1, 99])}, WrongShape, "train_idx"),
        ({"train_idx": np.array([0, 0, 1])}, WrongShape, "distinct"),
        ({"train_idx": np.array([0.5])}, WrongShape, "train_idx"),
        ({"train_idx": np.arange(0, 17)}, WrongShape, "p8 is in both"),
        ({"train_idx": np.array([0, 1])}, NoLabels, "alone"),
        ({"labels": np.arange(20) / 7}, NoLabels, "whole numbers"),
        ({"labels": np.full(20, 9)}, NoLabels, "label 9"),
        ({"images": np.zeros((20, 32, 32, 3), dtype=np.uint8)}, WrongShape, "uint8"),
        ({"images": np.zeros((19, 32, 32), dtype=np.uint8)}, WrongShape, "labels"),
        ({"class_names": np.array([1, 2])}, WrongShape, "class_names"),
        ({"class_names": np.array(["", "b"])}, WrongShape, "class_names"),
        ({"patients": np.array([None] * 20)}, UnreadableData, "pickled"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, changes, error, says):
    with pytest.raises(error, match=says) as caught:
        load(write(tmp_path / "ct.npz", grouped() | changes))
    assert "ct.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_arrays_are_named(tmp_path):
    with pytest.raises(UnreadableData, match=r"pictures.*no known layout"):
        load(write(tmp_path / "x.npz", {"pictures": np.zeros(3)}))


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(UnreadableData, match="no such file or folder"):
        load(tmp_path / "nothing.npz")


def test_a_header_that_claims_too_much_is_refused_before_it_is_believed(tmp_path):
    """An array of 2^40 images in a file of a kilobyte."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 64, 64)})
    path = tmp_path / "bomb.npz"
    write(path, {name: array for name, array in grouped().items() if name != "images"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images.npy", buffer.getvalue() + bytes(100))
    with pytest.raises(UnreadableData, match=r"images.npy claims uint8"):
        load(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("node.images.archive.MAX_BYTES", 1000)
    with pytest.raises(UnreadableData, match="at most 1000"):
        load(write(tmp_path / "ct.npz", grouped()))


@given(cut=st.integers(0, 3000), at=st.integers(0, 10**6), value=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_damaged_archives_raise_nothing_but_data_errors(tmp_path_factory, cut, at, value):
    path = tmp_path_factory.mktemp("fuzz") / "ct.npz"
    save(make([0, 1] * 6, side=8), path)
    data = bytearray(path.read_bytes())
    data[at % len(data)] = value
    path.write_bytes(data[: len(data) - cut] if cut % 3 == 0 else data)
    with contextlib.suppress(DataError):
        load(path)


def picture(path, value=100, size=(40, 30), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def folder(root, patients=6):
    for name in ("covid", "other"):
        for index in range(patients):
            for shot in ("a", "b"):
                picture(root / name / f"{name[0]}{index}_{shot}.png", 10 * index)
    return root


def test_class_folders(tmp_path):
    train, test = load(folder(tmp_path / "scans"))
    assert train.class_names == ("covid", "other")
    assert train.images.shape[1:] == (128, 128)
    assert len(train) + len(test) == 24
    assert set(train.patients) | set(test.patients) == {f"{c}{i}" for c in "co" for i in range(6)}
    assert set(train.patients).isdisjoint(test.patients)


def test_patients_csv_wins_over_file_names(tmp_path):
    root = folder(tmp_path / "scans")
    files = sorted(root.glob("*/*.png"))
    with (root / "patients.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "patient"])
        rows.writerows([f.relative_to(root).as_posix(), f"person {i % 10}"] for i, f in enumerate(files))
    train, test = load(root)
    assert set(train.patients) | set(test.patients) == {f"person {i}" for i in range(10)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,who\n", "columns file and patient"),
        ("file,patient\nx.png,1\n", "names no patient"),
        (b"\xff\xfe\x00", "CSV"),
    ],
)
def test_a_bad_patients_csv_is_reported(tmp_path, text, says):
    root = folder(tmp_path / "scans")
    (root / "patients.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UnreadableData, match=says):
        load(root)


def test_every_bad_picture_is_named(tmp_path):
    root = folder(tmp_path / "scans")
    (root / "covid" / "c0_a.png").write_bytes(b"no picture")
    whole = (root / "other" / "o1_a.png").read_bytes()
    (root / "other" / "o1_a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableData, match=r"covid/c0_a.png.*other/o1_a.png"):
        load(root)


def test_a_picture_with_too_many_pixels_is_refused_before_decoding(tmp_path):
    root = folder(tmp_path / "scans")
    path = root / "covid" / "c0_a.png"
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 9000, 9000)
    crc = __import__("zlib").crc32(data[12:29])
    data[29:33] = struct.pack(">I", crc)
    path.write_bytes(data)
    with pytest.raises(UnreadableData, match=r"c0_a\.png .9000x9000 pixels, at most"):
        load(root)


def test_sixteen_bit_pictures_are_scaled(tmp_path):
    root = folder(tmp_path / "scans", patients=4)
    for file in root.glob("*/*.png"):
        Image.fromarray(np.full((20, 20), 51 * 256, dtype=np.uint16)).save(file)
    train, _ = load(root)
    assert set(np.unique(train.images)) == {51}


def test_folders_without_classes_or_pictures(tmp_path):
    picture(tmp_path / "one" / "only" / "p_1.png")
    with pytest.raises(NoLabels, match="1 sub-folders"):
        load(tmp_path / "one")
    picture(tmp_path / "two" / "a" / "p_1.png")
    (tmp_path / "two" / "b").mkdir()
    with pytest.raises(TooFewImages, match="no png, jpg, DICOM or NIfTI"):
        load(tmp_path / "two")


@pytest.mark.parametrize("size", [8, 16, 24])
def test_resize_keeps_the_mean_and_everything_else(toy, size):
    small = resize(toy, size)
    assert small.images.shape == (len(toy), size, size)
    assert abs(float(small.images.mean()) - float(toy.images.mean())) < 3
    assert np.array_equal(small.labels, toy.labels)


def test_resize_is_bounded(toy):
    with pytest.raises(WrongShape):
        resize(toy, 4)
    with pytest.raises(WrongShape):
        resize(toy, 10_000)
