"""The palette reaches WCAG 2.2 AA in both themes, and its series can be told apart with and without colour vision."""

from __future__ import annotations

import itertools
import re

import pytest

TEXTS = (
    *((text, ground) for text in ("text", "muted") for ground in ("ground", "surface", "raised")),
    *(
        (tone, ground)
        for tone in ("accent", "accent-strong")
        for ground in ("ground", "surface", "raised", "accent-ground")
    ),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    *((tone, "surface") for tone in ("good", "warn", "bad")),
    *((tone, f"{tone}-ground") for tone in ("good", "warn", "bad")),
    *(("text", f"{tone}-ground") for tone in ("good", "warn", "bad", "accent")),
)
"""(text, ground) that stand on each other somewhere."""
MARKS = ("accent", "edge", *(f"series-{at}" for at in range(8)))
"""What carries meaning without being text, on the surface."""

# Machado, Oliveira, Fernandes 2009, severity 1, on linear RGB.
DEFICIENCIES = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def themes(css: str) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Colours by name, of the light theme, of the dark one by the machine's wish, and of the dark one by choice."""
    light, machine, chosen = re.findall(r":root(?:\[[^{]*|:not\([^{]*)?\s*\{([^}]*--ground[^}]*)\}", css)
    read = lambda block: {name: linear(value) for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)}  # noqa: E731
    return {"light": read(light), "dark": read(machine), "dark by choice": read(chosen)}


def linear(value: str) -> tuple[float, float, float]:
    parts = (int(value[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return red, green, blue


def luminance(colour: tuple[float, float, float]) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def ratio(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def lab(colour: tuple[float, ...]) -> tuple[float, float, float]:
    """OKLab (Ottosson 2020) of linear RGB."""
    r, g, b = (max(0.0, part) for part in colour)
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    middle = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


@pytest.fixture(scope="module")
def palette(files):
    return themes(files["css/base.css"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_reach_four_and_a_half(palette, theme):
    found = {pair: ratio(palette[theme][pair[0]], palette[theme][pair[1]]) for pair in TEXTS}
    assert {pair: round(value, 2) for pair, value in found.items() if value < 4.5} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_reach_three(palette, theme):
    found = {name: ratio(palette[theme][name], palette[theme]["surface"]) for name in MARKS}
    assert {name: round(value, 2) for name, value in found.items() if value < 3} == {}


def test_both_ways_into_the_dark_lead_to_the_same_colours(palette):
    assert palette["dark"] == palette["dark by choice"]
    assert palette["dark"].keys() == palette["light"].keys()


@pytest.mark.parametrize("sight", [None, *DEFICIENCIES])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_first_four_series_differ_for_everybody(palette, theme, sight):
    """Beyond four, dashes and marks tell them apart; so they do here, besides."""
    matrix = DEFICIENCIES.get(sight, ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    seen = [
        lab(tuple(sum(w * part for w, part in zip(row, palette[theme][f"series-{at}"], strict=True)) for row in matrix))
        for at in range(4)
    ]
    for one, other in itertools.combinations(seen, 2):
        assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.05


def test_the_measure_can_fail():
    assert ratio(linear("#000000"), linear("#ffffff")) == pytest.approx(21)
    assert ratio(linear("#777777"), linear("#ffffff")) < 4.5
