"""Masks from slices: windows of capsules against loops, scores against MONAI, organs of phantoms, crops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from node.images.organs import drawn_organs
from node.images.phantom import HEART, LUNG, draw
from node.learning.errors import BadSettings, WrongData
from node.learning.parameters import load
from node.learning.routing import route
from node.learning.segmentation.crop import (
    EACH_SIDE,
    LEAST,
    MOST,
    believable,
    box,
    crop_to_lungs,
    cut_to_lungs,
    without_specks,
)
from node.learning.segmentation.lungs import learn, lung_classes
from node.learning.segmentation.masks import MaskSettings, masks_of, scores, train_masks
from node.learning.segmentation.scores import dice, hausdorff, outline
from node.learning.segmentation.segcaps import SegCaps, WindowCaps
from node.learning.segmentation.views import seen_otherwise

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


def test_another_view_moves_a_slice_and_its_mask_alike():
    drawn = draw(16, 64, 1)
    masks = torch.from_numpy(drawn.organs.astype(np.int64))
    torch.manual_seed(0)
    seen, moved = seen_otherwise(masks[:, None].float() / 3, masks)  # a slice that is its own mask
    assert seen.shape == (16, 1, 64, 64)
    assert moved.dtype == masks.dtype
    assert set(moved.unique().tolist()) <= {0, 1, 2, 3}
    assert (moved != masks).float().mean() > 0.05
    for image, mask in zip(seen[:, 0], moved, strict=True):  # grey values still say which organ, whatever the window
        means = [image[mask == organ].mean() for organ in range(4) if (mask == organ).sum() > 40]
        assert means == sorted(means)
        assert np.corrcoef(image.ravel(), mask.ravel())[0, 1] > 0.8


def test_learning_measures_on_patients_it_did_not_learn_from():
    organs = drawn_organs(32, 32, 1)
    found = learn(organs, MaskSettings(epochs=1, augment=True), (LUNG,), 32, 0.25, lambda _epoch, _loss: None)
    assert (found.content.slices, found.held_out, found.patients) == (24, 8, 4)
    assert found.content.synthetic
    assert [share / 1e6 for share in found.content.dice_ppm] == pytest.approx(found.scores.dice, abs=1e-6)
    network = SegCaps(4).eval()
    load(network, found.content.vector)
    _, held = organs.split(0.25, 0)
    assert found.scores == scores(masks_of(network, held.images), held.masks, 4)
    again = learn(organs, MaskSettings(epochs=1, augment=True), (LUNG,), 32, 0.25, lambda _epoch, _loss: None)
    assert again.content.to_bytes() == found.content.to_bytes()
    with pytest.raises(BadSettings, match="image size"):
        learn(organs, MaskSettings(epochs=1), (LUNG,), 34, 0.25, lambda _epoch, _loss: None)


@pytest.mark.parametrize(
    ("classes", "said", "expected"),
    [
        (("background", "lung", "heart"), (), (1,)),
        (("background", "Left_Lung", "Right-Lung"), (), (1, 2)),
        (("air", "L", "R"), ("L", "R"), (1, 2)),
        (("background", "lungs-like"), (), None),
        (("background", "lung"), ("lungs",), None),
        (("background", "lung"), ("lung", "other"), None),
        (("lung", "lungs"), (), None),
    ],
)
def test_which_classes_are_lung_is_said_or_plain(classes, said, expected):
    if expected is None:
        with pytest.raises(WrongData, match="name those that are lung"):
            lung_classes(classes, said)
    else:
        assert lung_classes(classes, said) == expected


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


def test_a_mask_is_believed_if_it_may_be_two_lungs():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 4:14] = mask[10:30, 26:36] = True
    assert believable(mask)
    alone = mask.copy()
    alone[:, 20:] = False
    assert not believable(alone)  # one lung: the other may be too ill to look like one
    uneven = alone.copy()
    uneven[10 : 10 + int(EACH_SIDE / (1 - EACH_SIDE) * 20) + 1, 26:36] = True
    assert believable(uneven)
    assert not believable(np.zeros((40, 40), bool))
    all_over = np.ones((40, 40), bool)
    all_over[: int((1 - MOST) * 40) - 1] = False
    assert not believable(all_over)


def test_specks_and_thin_rings_do_not_widen_the_crop():
    mask = np.zeros((40, 40), bool)
    mask[10:30, 8:16] = mask[10:30, 24:32] = True
    dirty = mask.copy()
    dirty[0, :] = dirty[:, 39] = True  # a ring of skin
    dirty[36:39, 1:4] = True  # a speck
    assert np.array_equal(without_specks(dirty), mask)
    assert np.array_equal(without_specks(mask), mask)
    assert not without_specks(np.zeros((8, 8), bool)).any()


@given(MASKS)
def test_what_is_left_of_a_mask_was_in_it(mask):
    left = without_specks(mask)
    assert not (left & ~mask).any()
    assert np.array_equal(without_specks(left), left)


def test_masks_of_another_size_cut_at_the_same_place():
    drawn = draw(8, 128, 3)
    fine = drawn.organs == LUNG
    coarse = fine[:, ::2, ::2]
    (small, cut), (large, _) = cut_to_lungs(drawn.dataset.images, coarse), cut_to_lungs(drawn.dataset.images, fine)
    assert cut.all()
    for a, b in zip(coarse, fine, strict=True):
        assert np.abs(2 * np.array(box(without_specks(a))) - box(without_specks(b))).max() <= 6
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.9
    wide = np.repeat(drawn.dataset.images, 2, axis=2)  # not square: cut in its own proportions
    assert np.abs(cut_to_lungs(wide, coarse)[0][:, :, ::2].astype(int) - small).mean() < 4


@given(hnp.arrays(np.bool_, (16, 16)).filter(np.any))
def test_a_box_is_a_square_around_everything(mask):
    left, top, right, bottom = box(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert right - left == bottom - top
    assert 0 <= left < right <= 16
    assert 0 <= top < bottom <= 16
    assert left <= columns[0]
    assert columns[-1] < right
    assert top <= rows[0]
    assert rows[-1] < bottom


def test_a_network_for_other_slices_is_refused():
    with pytest.raises(WrongData):
        masks_of(SegCaps(4), np.zeros((1, 30, 30), np.uint8))
