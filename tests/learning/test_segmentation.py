"""Masks from slices: windows of capsules against loops, scores against MONAI, organs of phantoms, crops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from node.images.phantom import HEART, LUNG, draw
from node.images.record import MAX_SIDE
from node.learning.errors import BadSettings, WrongData
from node.learning.routing import route
from node.learning.segmentation.crop import LEAST, box, crop_to_lungs
from node.learning.segmentation.masks import MaskSettings, masks_of, scores, train_masks
from node.learning.segmentation.scores import dice, hausdorff, outline
from node.learning.segmentation.segcaps import SegCaps, WindowCaps

MASKS = hnp.arrays(np.bool_, (12, 12))


# ---- the network -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2])
def test_a_window_of_capsules_votes_as_looped_by_hand(step):
    """Every vote of every child in every window, one by one."""
    torch.manual_seed(0)
    types, D, J, K, k, S = 2, 3, 2, 4, 3, 4
    layer = WindowCaps(types, D, J, K, window=k, step=step, iterations=3)
    children = torch.randn(1, types, D, S, S)
    found = layer(children)[0]
    transform = layer.transform.view(types, J, K, D, k, k)
    for y in range(0, S, step):
        for x in range(0, S, step):
            votes = torch.zeros(1, types, J, K)
            for i in range(types):
                for dy in range(k):
                    for dx in range(k):
                        at_y, at_x = y + dy - k // 2, x + dx - k // 2
                        if 0 <= at_y < S and 0 <= at_x < S:
                            child = children[0, i, :, at_y, at_x]
                            votes[0, i] += torch.einsum("jkd,d->jk", transform[i, :, :, :, dy, dx], child)
            torch.testing.assert_close(found[:, :, y // step, x // step], route(votes, 3)[0], atol=1e-5, rtol=1e-4)


def test_what_is_far_away_has_no_vote():
    torch.manual_seed(0)
    layer = WindowCaps(2, 4, 2, 4, window=3, step=1, iterations=3)
    children = torch.randn(1, 2, 4, 8, 8)
    moved = children.clone()
    moved[..., 7, 7] += 10
    apart = (layer(moved) - layer(children)).abs().sum(dim=(0, 1, 2))
    assert apart[:6].max() == apart[:, :6].max() == 0
    assert apart[6:, 6:].min() > 0


@pytest.mark.parametrize(("side", "classes"), [(32, 4), (64, 2), (48, 3)])
def test_every_pixel_gets_a_length_for_every_class(side, classes):
    torch.manual_seed(0)
    network = SegCaps(classes)
    found = network(torch.rand(2, 1, side, side))
    assert found.shape == (2, classes, side, side)
    assert found.min() >= 0
    assert found.max() < 1
    assert sum(tensor.numel() for tensor in network.parameters()) < 500_000
    found.sum().backward()
    assert all(tensor.grad is not None and tensor.grad.abs().sum() > 0 for tensor in network.parameters())


# ---- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(MASKS, MASKS)
@settings(deadline=None, max_examples=60)
def test_scores_are_monais(found, truth):
    metrics = pytest.importorskip("monai.metrics")
    a, b = (torch.from_numpy(mask)[None, None].float() for mask in (found, truth))
    ours = dice(found, truth)
    if ours is not None:
        theirs = metrics.compute_dice(a, b, include_background=True, ignore_empty=False).item()
        assert ours == pytest.approx(theirs, abs=1e-6)
    if found.any() and truth.any():
        theirs = metrics.compute_hausdorff_distance(a, b, include_background=True).item()
        assert hausdorff(found, truth) == pytest.approx(theirs, abs=1e-5)


def test_scores_by_hand():
    square, moved = np.zeros((10, 10), bool), np.zeros((10, 10), bool)
    square[2:6, 2:6] = True
    moved[2:6, 5:9] = True
    assert dice(square, moved) == 2 * 4 / 32
    assert hausdorff(square, moved) == 3
    assert hausdorff(square, square) == 0
    assert outline(square).sum() == 12
    assert dice(square & ~square, square & ~square) is None
    assert hausdorff(square, square & ~square) is None
    with pytest.raises(WrongData, match="cannot be compared"):
        dice(square, square[:5])


# ---- training --------------------------------------------------------------------------------------------------------


def test_organs_of_phantoms_are_found_on_another_scanner():
    learnt, asked = draw(24, 32, 1), draw(12, 32, 2, scanner=3)
    losses = []
    plan = MaskSettings(epochs=8, learning_rate=5e-3)
    network = train_masks(learnt.dataset.images, learnt.organs, plan, lambda _epoch, loss: losses.append(loss))
    found = scores(masks_of(network, asked.dataset.images), asked.organs, 4)
    assert losses[-1] < losses[0] / 2
    assert found.dice[LUNG] > 0.75
    assert found.hausdorff[LUNG] < 8


def test_training_is_deterministic_and_leaves_torchs_generator_alone():
    few = draw(4, 32, 1)
    plan = MaskSettings(epochs=1)
    before = torch.get_rng_state()
    first, again = (train_masks(few.dataset.images, few.organs, plan) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "wrong", [{"classes": 1}, {"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"seed": -1}]
)
def test_settings_are_bounded(wrong):
    with pytest.raises(BadSettings, match=next(iter(wrong))):
        MaskSettings(**wrong)


@pytest.mark.parametrize(
    ("slices", "masks"),
    [
        (np.zeros((2, 30, 30), np.uint8), np.zeros((2, 30, 30), np.uint8)),
        (np.zeros((2, 32, 32), np.float32), np.zeros((2, 32, 32), np.uint8)),
        (np.zeros((0, 32, 32), np.uint8), np.zeros((0, 32, 32), np.uint8)),
        (np.zeros((2, 32, 32), np.uint8), np.zeros((2, 32, 28), np.uint8)),
        (np.zeros((2, 32, 32), np.uint8), np.full((2, 32, 32), 4, np.uint8)),
    ],
)
def test_what_does_not_fit_is_refused(slices, masks):
    with pytest.raises(WrongData, match="segmentation"):
        train_masks(slices, masks, MaskSettings(epochs=1))


# ---- crops -----------------------------------------------------------------------------------------------------------


def test_a_crop_holds_the_lungs_and_makes_them_fill_the_slice():
    drawn = draw(16, 64, 3)
    lungs = drawn.organs == LUNG
    cropped, kept = crop_to_lungs(drawn.dataset, lungs)
    assert kept == 0
    assert cropped.images.shape == drawn.dataset.images.shape
    assert cropped.labels.tolist() == drawn.dataset.labels.tolist()
    for mask in lungs:
        left, top, right, bottom = box(mask)
        assert right - left == bottom - top
        inside = np.zeros_like(mask)
        inside[max(0, top) : bottom, max(0, left) : right] = True
        assert (mask <= inside).all()
        spans = [np.ptp(np.flatnonzero(mask.any(axis=axis))) + 1 for axis in (0, 1)]
        assert max(spans) > 0.8 * (right - left)
    assert not np.array_equal(cropped.images, drawn.dataset.images)


def test_a_slice_without_believable_lungs_is_left_as_it_is():
    drawn = draw(4, 32, 3)
    lungs = drawn.organs == HEART
    lungs[:] = False
    lungs[0, :2, : int(LEAST * 32 * 32 / 2) - 1] = True
    cropped, kept = crop_to_lungs(drawn.dataset, lungs)
    assert kept == 4
    assert np.array_equal(cropped.images, drawn.dataset.images)
    with pytest.raises(WrongData, match="lung masks"):
        crop_to_lungs(drawn.dataset, lungs[:3])


@given(hnp.arrays(np.bool_, (16, 16)).filter(np.any))
def test_a_box_is_a_square_around_everything(mask):
    left, top, right, bottom = box(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert right - left == bottom - top <= MAX_SIDE
    assert left <= columns[0]
    assert columns[-1] < right
    assert top <= rows[0]
    assert rows[-1] < bottom


def test_a_network_for_other_slices_is_refused():
    with pytest.raises(WrongData):
        masks_of(SegCaps(4), np.zeros((1, 30, 30), np.uint8))
