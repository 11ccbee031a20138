"""A set that was cropped to the lungs says so, by which network, wherever it goes."""

from dataclasses import replace

import numpy as np
import pytest

from node.images.archive import load_saved, save
from node.images.card import data_card
from node.images.dataset import load, resize
from node.images.errors import WrongShape
from node.images.partition import partition
from node.images.record import concatenate

NETWORK = "5e" * 32


@pytest.fixture
def cropped(toy):
    return replace(toy, cropped=NETWORK)


def test_it_goes_with_the_set(tmp_path, cropped):
    save(cropped, tmp_path / "set.npz")
    train, test = load(tmp_path / "set.npz")
    parts = [
        load_saved(tmp_path / "set.npz"),
        train,
        test,
        cropped.take([1, 0]),
        cropped.renamed("other"),
        resize(cropped, 8),
        concatenate([cropped, cropped], "both"),
        *partition(cropped, 2, "iid", 0),
    ]
    assert {part.cropped for part in parts} == {NETWORK}


def test_slices_prepared_in_two_ways_make_no_set(toy, cropped):
    with pytest.raises(WrongShape, match=r"cropped to the lungs by 5e5e.*, cannot join toy, not cropped"):
        concatenate([toy, cropped], "mixed")


def test_the_card_says_so_and_one_without_keeps_its_digest(toy, cropped):
    assert data_card(cropped).to_json()["cropped"] == NETWORK
    assert data_card(cropped).digest != data_card(toy).digest
    assert data_card(cropped).digest != data_card(replace(toy, cropped="5f" * 32)).digest
    assert "cropped" not in data_card(toy).to_json()
    earlier = "79d36668608be8fde80fdcffa7af0ab59a008dca11eca4e30c0cf0612d7d7e1f"
    assert data_card(toy).digest.hex() == earlier


@pytest.mark.parametrize("said", ["5E" * 32, "5e" * 31, "yes", 5, [NETWORK, NETWORK], np.zeros(0, "U64")])
def test_a_file_that_names_no_network_is_refused(tmp_path, toy, said):
    fields = {name: getattr(toy, name) for name in ("images", "labels", "patients")}
    np.savez(tmp_path / "set.npz", **fields, class_names=np.array(toy.class_names), cropped=np.array(said))
    with pytest.raises(WrongShape, match="cropped must be"):
        load_saved(tmp_path / "set.npz")
