"""The file of a lung network: one canonical form, every field checked, nothing run to read it."""

import cbor2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from node.learning.errors import MalformedLungs
from node.learning.parameters import flatten, layout, layout_digest
from node.learning.segmentation.file import MAX_BYTES, LungFile, digest_of, read_lungs, write_lungs
from node.learning.segmentation.lungs import Lungs
from node.learning.segmentation.segcaps import SegCaps


def content(**changes) -> LungFile:
    torch.manual_seed(0)
    network = SegCaps(3)
    fields = {
        "class_names": ("background", "lung", "heart"),
        "lungs": (1,),
        "image_size": 32,
        "synthetic": True,
        "slices": 7,
        "dice_ppm": (999_000, 900_000, None),
        "layout": layout_digest(layout(network)),
        "vector": flatten(network),
    }
    return LungFile(**fields | changes)


SMALL = content(vector=np.arange(4, dtype=np.float32)).to_bytes()


def test_a_file_gives_back_what_was_written_and_one_content_has_one_form(tmp_path):
    written = content()
    digest = write_lungs(written, tmp_path / "lungs.bin")
    found, name = read_lungs(tmp_path / "lungs.bin")
    assert name == digest == digest_of((tmp_path / "lungs.bin").read_bytes())
    assert found.to_bytes() == written.to_bytes()
    assert np.array_equal(found.vector, written.vector)
    assert found.class_names == written.class_names
    assert list(tmp_path.iterdir()) == [tmp_path / "lungs.bin"]
    assert digest_of(content(slices=8).to_bytes()) != digest


def test_the_network_answers_as_the_one_that_was_written(tmp_path):
    torch.manual_seed(0)
    network = SegCaps(3).eval()
    write_lungs(content(), tmp_path / "lungs.bin")
    slices = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    before = torch.get_rng_state()
    found = Lungs.read(tmp_path / "lungs.bin").find(slices)
    assert torch.equal(before, torch.get_rng_state())
    with torch.inference_mode():
        asked = torch.from_numpy(slices.astype(np.float32) / np.float32(255))[:, None]
        assert np.array_equal(found, network(asked).argmax(dim=1).numpy() == 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "medweave/other"),
        ("version", 2),
        ("version", True),
        ("architecture", "unet"),
        ("layout", b"\0" * 31),
        ("classes", ["lung"]),
        ("classes", ["lung", "lung"]),
        ("classes", ["lung", "two\nlines"]),
        ("classes", ["lung", ""]),
        ("classes", "ab"),
        ("lungs", []),
        ("lungs", [3]),
        ("lungs", [-1]),
        ("lungs", [1, 0]),
        ("lungs", [True]),
        ("lungs", [0, 1, 2]),
        ("image_size", 33),
        ("image_size", 4096),
        ("image_size", 64.0),
        ("synthetic", 1),
        ("slices", 0),
        ("dice_ppm", [1, 2]),
        ("dice_ppm", [1, 2, 1_000_001]),
        ("dice_ppm", [1, 2, 0.5]),
        ("parameters", b""),
        ("parameters", b"\0" * 5),
        ("parameters", np.array([np.nan], "<f4").tobytes()),
    ],
)
def test_every_field_is_checked_and_named(field, value):
    fields = cbor2.loads(content().to_bytes()) | {field: value}
    with pytest.raises(MalformedLungs, match=f"field {field} is"):
        LungFile.from_bytes(cbor2.dumps(fields, canonical=True))


def test_damage_is_named(tmp_path):
    data = content().to_bytes()
    fields = cbor2.loads(data)
    for wrong, says in (
        (b"", "no CBOR"),
        (data[:-1], "no CBOR"),
        (data + b"\0", "not one canonical map"),
        (cbor2.dumps(list(fields.values())), "not one canonical map"),
        (cbor2.dumps(fields | {"more": 1}, canonical=True), "field more"),
        (cbor2.dumps({k: v for k, v in fields.items() if k != "slices"}, canonical=True), "field slices"),
        (b"\0" * (MAX_BYTES + 1), "more than"),
    ):
        (tmp_path / "lungs.bin").write_bytes(wrong)
        with pytest.raises(MalformedLungs, match=says) as raised:
            read_lungs(tmp_path / "lungs.bin")
        assert "lungs.bin" in str(raised.value)
    with pytest.raises(MalformedLungs, match="cannot be read"):
        read_lungs(tmp_path / "absent.bin")
    with pytest.raises(MalformedLungs, match="cannot be written"):
        write_lungs(content(), tmp_path / "absent" / "lungs.bin")


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_no_bytes_do_other_harm(data):
    at = data.draw(st.integers(0, len(SMALL) - 1))
    wrong = SMALL[:at] + data.draw(st.binary(max_size=12)) + SMALL[data.draw(st.integers(at, len(SMALL))) :]
    try:
        found = LungFile.from_bytes(wrong)
    except MalformedLungs:
        return
    assert found.to_bytes() == wrong


@pytest.mark.parametrize("changes", [{"vector": np.zeros(5, np.float32)}, {"layout": b"\1" * 32}])
def test_another_versions_network_is_refused(changes):
    with pytest.raises(MalformedLungs, match="use the version that made it"):
        Lungs(content(**changes), "00" * 32)
