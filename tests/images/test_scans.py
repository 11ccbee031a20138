import hashlib

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, generate_uid

from node.images.card import data_card
from node.images.dataset import load
from node.images.dicom import read_dicom
from node.images.errors import BadWindow, TooFewImages, UnreadableData, Unusable
from node.images.nifti import MAX_SLICES, read_nifti
from node.images.windows import LUNG, MEDIASTINUM, Window, parse_window, through


def write_dicom(path, hounsfield, *, patient="MRN-4711", modality="CT", **tags):
    """A CT file as scanners write it: unsigned stored values with slope 2 and intercept -1024, so HU are rounded to 2."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    values = np.asarray(hounsfield)
    stored = ((values + 1024) // 2).astype(np.uint16)
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    header.PatientID, header.PatientName, header.Modality = patient, "Doe^Jane", modality
    header.Rows, header.Columns = values.shape[-2:]
    if values.ndim == 3:
        header.NumberOfFrames = len(values)
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    header.RescaleSlope, header.RescaleIntercept = 2, -1024
    for name, value in tags.items():
        setattr(header, name, value)
    header.PixelData = stored.tobytes()
    header.save_as(path)
    return path


def steps(side=32):
    """Left half air of the lung (-900 HU), right half soft tissue (40 HU)."""
    values = np.full((side, side), -900)
    values[:, side // 2 :] = 40
    return values


def write_nifti(path, values, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), np.eye(4) if affine is None else affine), path)
    return path


# -- windows


def test_the_window_function_is_the_standards():
    # DICOM PS3.3 C.11.2.1.2.1 with c = -600, w = 1500, y from 0 to 255, worked out by hand for three values.
    values = np.array([-600.5 - 749.5, -600.5, -600.5 + 749.5])
    assert through(LUNG, values).tolist() == [0, 128, 255]
    assert through(MEDIASTINUM, np.array([-1000, 40, 3000])).tolist() == [0, 128, 255]


@given(st.lists(st.integers(-3000, 3000), min_size=2), st.floats(-500, 500), st.floats(2, 4000))
def test_a_window_never_swaps_an_order(values, level, width):
    grey = through(Window(level, width), np.sort(np.array(values)))
    assert (np.diff(grey.astype(int)) >= 0).all()


@pytest.mark.parametrize("text", ["bone marrow", "1", "1,1", "nan,400", "0,inf", "0,-3", ""])
def test_what_is_no_window_is_refused(text):
    with pytest.raises(BadWindow):
        parse_window(text)


def test_windows_by_name_and_by_number():
    assert parse_window("lung") is LUNG
    assert parse_window("-500,1400") == Window(-500, 1400)


# -- DICOM


def test_hounsfield_units_come_from_slope_and_intercept(tmp_path):
    found = read_dicom(write_dicom(tmp_path / "a.dcm", steps()))
    assert found.images.shape == (1, 128, 128)
    grey = through(LUNG, np.array([-900, 40]))
    assert set(np.unique(found.images)) == set(grey.tolist())
    assert (found.images[0, :, :60] == grey[0]).all()


def test_the_callers_window_wins_over_the_files(tmp_path):
    file = write_dicom(tmp_path / "a.dcm", steps(), WindowCenter=-600, WindowWidth=1500)
    assert set(np.unique(read_dicom(file, MEDIASTINUM).images)) == {0, 128}


def test_another_modality_is_shown_through_its_own_window(tmp_path):
    ramp = np.arange(32 * 32).reshape(32, 32) * 2 - 1024
    file = write_dicom(tmp_path / "a.dcm", ramp, modality="DX", WindowCenter=-900, WindowWidth=100)
    image = read_dicom(file).images[0]
    assert image[0, 0] == 0
    assert (image[32:] == 255).all()  # far above the window


def test_inverted_pictures_are_turned_around(tmp_path):
    plain = read_dicom(write_dicom(tmp_path / "a.dcm", steps()))
    turned = read_dicom(write_dicom(tmp_path / "b.dcm", steps(), PhotometricInterpretation="MONOCHROME1"))
    assert (turned.images == 255 - plain.images).all()


def test_padding_becomes_the_darkest_value(tmp_path):
    values = steps()
    values[:4] = 3000  # stored 2012
    image = read_dicom(write_dicom(tmp_path / "a.dcm", values, PixelPaddingValue=2012)).images[0]
    assert image.max() == through(LUNG, np.array([40]))[0]


def test_a_multi_frame_file_gives_a_slice_a_frame(tmp_path):
    frames = np.stack([steps(), np.full((32, 32), -900), np.full((32, 32), 40)])
    found = read_dicom(write_dicom(tmp_path / "a.dcm", frames))
    assert found.images.shape == (3, 128, 128)
    assert len({image.tobytes() for image in found.images}) == 3


def test_the_patient_is_known_by_a_digest_only(tmp_path):
    one = read_dicom(write_dicom(tmp_path / "a.dcm", steps(), patient="MRN-4711")).patient
    same = read_dicom(write_dicom(tmp_path / "b.dcm", steps() + 20, patient="MRN-4711")).patient
    other = read_dicom(write_dicom(tmp_path / "c.dcm", steps(), patient="MRN-4712")).patient
    nobody = read_dicom(write_dicom(tmp_path / "d.dcm", steps(), patient="")).patient
    assert one == same != other
    assert nobody is None
    assert "4711" not in one
    assert "Doe" not in one


def test_unreadable_files_say_why(tmp_path):
    good = write_dicom(tmp_path / "good.dcm", steps())
    header = pydicom.dcmread(good)
    del header.PixelData
    header.save_as(tmp_path / "report.dcm")
    with pytest.raises(Unusable, match="no picture"):
        read_dicom(tmp_path / "report.dcm")
    header = pydicom.dcmread(good)
    header.Rows = 60_000
    header.Columns = 60_000
    header.save_as(tmp_path / "bomb.dcm")
    with pytest.raises(Unusable, match="at most 64000000"):
        read_dicom(tmp_path / "bomb.dcm")
    header = pydicom.dcmread(good)
    header.file_meta.TransferSyntaxUID = JPEGLSLossless
    header.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    header.save_as(tmp_path / "jpegls.dcm")
    with pytest.raises(Unusable, match="no readable DICOM image"):
        read_dicom(tmp_path / "jpegls.dcm")
    (tmp_path / "cut.dcm").write_bytes(good.read_bytes()[:-900])
    with pytest.raises(Unusable, match="no readable DICOM image"):
        read_dicom(tmp_path / "cut.dcm")


@settings(max_examples=150, deadline=None)
@example([(10953459, 0)])  # the study's identifier gets a type that is none
@given(st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_dicom_is_read_or_refused(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "fuzz.dcm"
    data = bytearray(write_dicom(path, steps(16)).read_bytes())
    for position, value in changes:
        data[128 + position % (len(data) - 128)] = value
    path.write_bytes(data)
    try:
        found = read_dicom(path)
    except Unusable:
        return
    assert found.images.dtype == np.uint8
    assert found.images.shape[1:] == (128, 128)


# -- NIfTI


def test_slices_lie_as_in_radiology(tmp_path):
    # x to the right, y to the front, z up: the patient's right front corner is bright.
    values = np.full((32, 32, 10), -900)
    values[16:, 16:, :] = 40
    image = read_nifti(write_nifti(tmp_path / "a.nii.gz", values)).images[0]
    light, dark = through(LUNG, np.array([40, -900]))
    assert (image[:60, :60] == light).all()  # front on top, right on the left
    assert (image[68:, :] == dark).all()
    assert (image[:, 68:] == dark).all()


def test_the_affine_decides_which_way_is_up(tmp_path):
    values = np.full((32, 32, 10), -900)
    values[16:, 16:, :] = 40
    plain = read_nifti(write_nifti(tmp_path / "a.nii", values)).images
    turned = read_nifti(write_nifti(tmp_path / "b.nii", values[::-1], np.diag([-1, 1, 1, 1]))).images
    assert (plain == turned).all()


def test_a_volume_gives_its_middle_slices(tmp_path):
    values = np.broadcast_to(np.arange(100) * 10 - 1000, (16, 16, 100))
    found = read_nifti(write_nifti(tmp_path / "a.nii.gz", values), Window(-500, 1000))
    assert len(found.images) == MAX_SLICES
    levels = found.images[:, 0, 0].astype(int)
    assert (np.diff(levels) > 0).all()
    assert levels[0] >= 24  # the lowest tenth is not there
    assert levels[-1] <= 231


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 4, 3)])
def test_only_single_volumes(tmp_path, shape):
    with pytest.raises(Unusable, match="expected one volume of three"):
        read_nifti(write_nifti(tmp_path / "a.nii", np.zeros(shape)))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 347), st.integers(0, 255), st.booleans())
def test_damaged_nifti_is_read_or_refused(tmp_path_factory, position, value, cut):
    path = tmp_path_factory.getbasetemp() / "fuzz.nii"
    data = bytearray(write_nifti(path, np.zeros((16, 16, 4))).read_bytes())
    data[position] = value
    path.write_bytes(data[:-100] if cut else data)
    try:
        found = read_nifti(path)
    except Unusable:
        return
    assert found.images.shape[1:] == (128, 128)


# -- folders of scans


def scans(root):
    """Two classes, DICOM without a suffix, a volume, a picture; eight patients."""
    rng = np.random.default_rng(0)
    for name, level in (("covid", -500), ("other", -850)):
        for index in range(4):
            for shot in range(2):
                values = rng.integers(level - 40, level + 40, (32, 32))
                write_dicom(root / name / f"scan{index}{shot}", values, patient=f"{name}-{index}")
    write_nifti(root / "covid" / "vol_1.nii.gz", rng.integers(-700, -300, (24, 24, 10)))
    Image.fromarray(np.full((20, 20), 77, dtype=np.uint8)).save(root / "other" / "pic_1.png")
    return root


def test_a_folder_may_mix_formats_and_splits_by_the_patients_in_the_files(tmp_path):
    train, test = load(scans(tmp_path / "set"))
    assert len(train) + len(test) == 16 + 8 + 1
    assert set(train.patients).isdisjoint(test.patients)
    named = {p for p in (*train.patients, *test.patients) if p.startswith("dicom-")}
    assert len(named) == 8
    assert {"vol", "pic"} <= {*train.patients, *test.patients}


def test_bad_files_refuse_the_set_or_are_left_out_by_name(tmp_path):
    root = scans(tmp_path / "set")
    (root / "covid" / "broken.dcm").write_bytes(b"\0" * 200)
    (root / "other" / "broken.nii").write_bytes(b"not a volume")
    with pytest.raises(UnreadableData, match=r"covid/broken.dcm.*other/broken.nii"):
        load(root)
    refused = []
    train, test = load(root, skip=refused.append)
    assert len(train) + len(test) == 25
    assert [each.file.name for each in refused] == ["broken.dcm", "broken.nii"]
    assert all(each.reason for each in refused)


def test_a_class_without_one_good_file_is_an_error_even_when_skipping(tmp_path):
    root = scans(tmp_path / "set")
    (root / "zero").mkdir()
    (root / "zero" / "broken.dcm").write_bytes(b"\0" * 200)
    with pytest.raises(TooFewImages, match="zero"):
        load(root, skip=lambda _: None)


# -- cards


def test_a_card_depends_on_content_not_on_order_or_patients(tmp_path, toy):
    card = data_card(toy)
    shuffled = toy.take(np.random.default_rng(1).permutation(len(toy)))
    assert data_card(shuffled) == card
    assert card.images == len(toy)
    changed = toy.images.copy()
    changed[3, 2, 1] ^= 1
    from node.images.record import Dataset

    other = Dataset(changed, toy.labels, toy.patients, toy.class_names, toy.name, toy.synthetic)
    assert data_card(other).digest != card.digest
    swapped = Dataset(toy.images, 1 - toy.labels, toy.patients, toy.class_names, toy.name, toy.synthetic)
    assert data_card(swapped).content != card.content


def test_a_cards_numbers_by_another_way(toy):
    card = data_card(toy)
    values = toy.images.astype(np.float64) / 255
    assert card.mean_ppm == pytest.approx(values.mean() * 1e6, abs=1)
    assert card.deviation_ppm == pytest.approx(values.std() * 1e6, abs=1)
    leaves = sorted(
        hashlib.sha256(toy.class_names[k].encode() + b"\0" + image.tobytes()).digest()
        for image, k in zip(toy.images, toy.labels, strict=True)
    )
    assert card.content == hashlib.sha256(b"".join(leaves)).digest()
    assert not any(patient in str(card.to_json()) for patient in set(toy.patients))
