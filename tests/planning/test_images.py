"""A hospital's images are looked at again only when their file was written again."""

from __future__ import annotations

import json
import os

import pytest

from node.images.archive import save
from node.images.card import data_card
from node.images.phantom import generate
from node.planning.images import Holding, ImageWatch


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.npz"
    save(generate(6, 32, 0), path)
    return path


def test_the_card_of_the_images_is_found_and_changes_with_them(train):
    watch = ImageWatch(train)
    card = data_card(generate(6, 32, 0))
    assert watch.look() == Holding(card.images, card.digest)
    assert watch.look() is watch.look()
    save(generate(8, 32, 1), train)
    found = watch.look()
    assert found is not None
    assert (found.images, found.digest) == (8, data_card(generate(8, 32, 1)).digest)


def test_a_card_beside_the_images_serves_unless_it_is_older(train):
    card = train.with_name("card.json")
    other = data_card(generate(9, 32, 5))
    card.write_text(json.dumps({"train": other.to_json()}))
    assert ImageWatch(train).look() == Holding(9, other.digest)
    os.utime(card, (1, 1))
    assert ImageWatch(train).look() == Holding(6, data_card(generate(6, 32, 0)).digest)


@pytest.mark.parametrize("text", ["", "[]", '{"train": {"images": 77, "digest": "ab"}}', '{"validation": {}}'])
def test_a_card_that_is_none_is_passed_over(train, text):
    train.with_name("card.json").write_text(text)
    assert ImageWatch(train).look() == Holding(6, data_card(generate(6, 32, 0)).digest)


def test_no_images_are_no_holding(tmp_path, train):
    assert ImageWatch(tmp_path / "none.npz").look() is None
    train.write_bytes(b"no archive")
    assert ImageWatch(train).look() is None
