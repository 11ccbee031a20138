import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from node.images.errors import TooFewImages, WrongShape
from node.images.phantom import HEART, LUNG, draw, generate, scanner_of
from node.images.record import concatenate


def test_the_same_seed_draws_the_same_and_longer_sets_begin_with_shorter():
    short, again, long = generate(20, seed=3), generate(20, seed=3), generate(100, seed=3)
    assert np.array_equal(short.images, again.images)
    assert np.array_equal(short.images, long.images[:20])
    assert not np.array_equal(short.images, generate(20, seed=4).images)
    assert not np.array_equal(short.images, generate(20, seed=3, scanner=1).images)


def test_sets_of_different_seeds_or_scanners_share_no_patient():
    sets = [generate(20, seed=seed, scanner=scanner) for seed in (0, 1) for scanner in (0, 1)]
    assert concatenate(sets, "all").patient_count == sum(each.patient_count for each in sets)


def test_classes_are_even_and_it_says_it_is_synthetic():
    data = generate(40)
    assert data.class_counts == (20, 20)
    assert data.patient_count == 20
    assert data.synthetic
    assert data.images.shape == (40, 64, 64)


@pytest.mark.parametrize("size", [32, 64, 96])
def test_masks_lie_where_they_should(size):
    drawn = draw(40, size=size, seed=1)
    shares = [(drawn.organs == organ).mean(axis=(1, 2)) for organ in (LUNG, HEART)]
    assert (shares[0] > 0.1).all()
    assert (shares[0] < 0.35).all()
    assert (shares[1] > 0.015).all()
    assert (shares[1] < 0.1).all()
    assert not (drawn.lesions & (drawn.organs != LUNG)).any()
    ill = drawn.dataset.labels == 1
    assert not drawn.lesions[~ill].any()
    assert drawn.lesions[ill].any(axis=(1, 2)).mean() > 0.9


def test_lungs_are_darker_than_what_surrounds_them():
    drawn = draw(20, seed=2)
    for image, organs in zip(drawn.dataset.images, drawn.organs, strict=True):
        assert np.median(image[organs == LUNG]) + 60 < np.median(image[organs == 1])


def test_scanners_differ_and_stay_the_same():
    views = {scanner_of(number) for number in range(10)}
    assert len(views) == 10
    assert scanner_of(4) in views


def test_brightness_alone_does_not_give_the_class_away():
    """A linear model on an 8x8 thumbnail finds little; the lesion's grain is what tells."""
    train = concatenate([generate(160, seed=1, scanner=number) for number in range(3)], "train")
    test = concatenate([generate(160, seed=2, scanner=number) for number in range(3)], "test")

    def thumbnails(data):
        return data.images.reshape(len(data), 8, 8, 8, 8).mean(axis=(2, 4)).reshape(len(data), -1) / 255

    model = LogisticRegression(max_iter=2000).fit(thumbnails(train), train.labels)
    assert roc_auc_score(test.labels, model.predict_proba(thumbnails(test))[:, 1]) < 0.75


@pytest.mark.parametrize(
    ("n", "size", "error"), [(3, 64, TooFewImages), (10**6, 64, TooFewImages), (8, 16, WrongShape)]
)
def test_requests_are_bounded(n, size, error):
    with pytest.raises(error):
        draw(n, size=size)
