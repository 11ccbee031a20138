"""Synthetic chest-CT slices: the data set that needs no download.

Each slice is drawn in Hounsfield units from an analytic body (fat, muscle, spine, ribs, two lungs with vessels, heart,
aorta) and then seen through a scanner. The classes differ in one thing only:

    clear         lungs with vessels; some have a smooth dense patch (breathing, gravity) that no disease explains
    ground-glass  a hazy lesion near the pleura: a veil with grain in it, through which vessels still show

Smooth patches are as large as the veils and lie where they do, and windows vary, so that brightness alone says little
about the class (a linear model on an 8x8 thumbnail reaches an AUC of about 0.66): the grain tells. Every patient has two neighbouring slices. ``scanner`` 0, 1, 2 … names a
machine with its own window, noise, sharpness and field of view, so that hospitals differ as real ones do.

Nothing here is medicine. It exercises the system, and every report that rests on it says ``synthetic``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from node.images.errors import TooFewImages, WrongShape
from node.images.record import Dataset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Field = NDArray[np.float32]

CLASS_NAMES: Final = ("clear", "ground-glass")
SLICES_PER_PATIENT: Final = 2
MAX_SLICES: Final = 100_000
MIN_SIZE: Final = 32
MAX_SIZE: Final = 512

BLOCK: Final = 64
"""Slices drawn at once. Each block has its own random stream, so a longer set begins with the shorter one."""

BACKGROUND, BODY, LUNG, HEART = 0, 1, 2, 3
"""Values of the organ masks."""

GRAIN: Final = 1.0
"""Deviation of the veil's density from pixel to pixel, as a share of its mean."""

VEIL_EXTRA: Final = 80.0
"""HU by which a veil is denser than a smooth patch."""

PATCHY: Final = 0.5
"""Share of clear patients that have a smooth patch."""

_AIR, _FAT, _MUSCLE, _BLOOD, _BONE, _LUNG = -1000.0, -90.0, 45.0, 60.0, 500.0, -840.0
"""Hounsfield units."""


@dataclass(frozen=True, slots=True, eq=False)
class Phantoms:
    """Drawn slices with what is in them."""

    dataset: Dataset
    """The slices as any other data set."""
    organs: NDArray[np.uint8]
    """0 background, 1 body, 2 lung, 3 heart, for each pixel, ``[n, S, S]``."""
    lesions: NDArray[np.bool_]
    """Where the veil is, ``[n, S, S]``; nowhere in clear slices."""


@dataclass(frozen=True, slots=True)
class Scanner:
    """One machine's view of Hounsfield units."""

    level: float
    """Centre of the window, HU."""
    width: float
    """Width of the window, HU; values below and above are black and white."""
    noise: float
    """Standard deviation of the noise, HU."""
    blur: float
    """Standard deviation of the point spread, in 1/64 of the image's side: thick slices blur more."""
    zoom: float
    """Size of the body in the field of view, 1 on average."""


def scanner_of(number: int) -> Scanner:
    """The machine named ``number``, 0 or more; always the same one."""
    draw = np.random.default_rng([number, 0x5CA7]).random(5)
    return Scanner(
        level=float(-650 + 150 * draw[0]),
        width=float(1250 + 450 * draw[1]),
        noise=float(15 + 25 * draw[2]),
        blur=float(0.35 + 0.35 * draw[3]),
        zoom=float(0.93 + 0.12 * draw[4]),
    )


def generate(n: int, size: int = 64, seed: int = 0, scanner: int = 0) -> Dataset:
    """``n`` slices of ``size`` x ``size`` pixels, half of the patients with ground glass.

    Args:
        n: number of slices, 4 (both classes) to 100,000.
        size: pixels a side, 32 to 512.
        seed: which patients; sets of different seeds share none.
        scanner: which machine, 0 or more.

    Raises:
        TooFewImages: ``n`` is out of range.
        WrongShape: ``size`` is out of range.
    """
    return draw(n, size, seed, scanner).dataset


def draw(n: int, size: int = 64, seed: int = 0, scanner: int = 0) -> Phantoms:
    """The slices of :func:`generate` together with their masks; same arguments, same errors."""
    if not 2 * SLICES_PER_PATIENT <= n <= MAX_SLICES:
        raise TooFewImages(f"phantoms: {n} slices asked for, expected {2 * SLICES_PER_PATIENT} to {MAX_SLICES}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise WrongShape(f"phantoms: {size} pixels a side, expected {MIN_SIZE} to {MAX_SIZE}")
    blocks = [_block(size, seed, scanner, index) for index in range(-(-n // BLOCK))]
    images, organs, lesions = (np.concatenate(parts)[:n] for parts in zip(*blocks, strict=True))
    patient = np.arange(n) // SLICES_PER_PATIENT
    dataset = Dataset(
        images=images,
        labels=(patient % 2).astype(np.int64),
        patients=np.array([f"phantom {scanner}/{seed}/{number}" for number in patient]),
        class_names=CLASS_NAMES,
        name=f"phantom chest CT, scanner {scanner}",
        synthetic=True,
    )
    return Phantoms(dataset, organs, lesions)


def _block(size: int, seed: int, scanner: int, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Field]:
    """Images, organs and lesions of one block, ``[BLOCK, S, S]`` each; every second patient is ill."""
    canvas = _Canvas(size, np.random.default_rng([seed, scanner, index]), scanner_of(scanner))
    organs, depth, tissue = _anatomy(canvas)
    lung = organs == LUNG
    veil = _patch(canvas, depth, lung)
    ill = (np.arange(BLOCK) // SLICES_PER_PATIENT % 2 == 1)[:, None, None]
    patchy = canvas.uniform(0, 1) < PATCHY
    opacity = canvas.uniform(160, 320) + np.where(ill, VEIL_EXTRA, 0)
    grain = np.where(ill, 1 + GRAIN * canvas.noise(0.8), 1).clip(0, 2.2)
    density = (tissue + np.where(ill | patchy, opacity, 0) * veil * grain).astype(np.float32)
    return canvas.seen(density), organs, lung & ill & (veil > 0.4)


class _Canvas:
    """Coordinates, random numbers and a scanner, for one block of slices. S pixels a side; fields are ``[BLOCK, S, S]``."""

    def __init__(self, size: int, rng: np.random.Generator, scanner: Scanner) -> None:
        self.size, self.rng, self.scanner = size, rng, scanner
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
        zoom = scanner.zoom * self.uniform(0.96, 1.04)
        tilt = self.uniform(-0.08, 0.08)
        x, y = axis[None, None, :] - self.uniform(-0.04, 0.04), axis[None, :, None] - self.uniform(-0.04, 0.04)
        self.x = (x * np.cos(tilt) + y * np.sin(tilt)) / zoom  # to the patient's left
        self.y = (y * np.cos(tilt) - x * np.sin(tilt)) / zoom  # to the patient's back

    def uniform(self, low: float, high: float) -> Field:
        """One number a patient, a little different on each of the patient's slices; ``[BLOCK, 1, 1]``."""
        person = np.repeat(self.rng.random(BLOCK // SLICES_PER_PATIENT), SLICES_PER_PATIENT)
        place = 0.85 * person + 0.15 * self.rng.random(BLOCK)
        return (low + (high - low) * place).astype(np.float32)[:, None, None]

    def ellipse(self, x: Field, y: Field, a: Field, b: Field, power: float = 2) -> Field:
        """Distance from the centre in units of the boundary: below 1 inside. ``power`` above 2 squares the corners."""
        field: Field = np.abs((self.x - x) / a) ** power + np.abs((self.y - y) / b) ** power
        return field ** np.float32(1 / power)

    def noise(self, width: float) -> Field:
        """Gaussian noise of deviation 1, correlated over ``width`` 64ths of the side."""
        field = self.blurred(self.rng.standard_normal((BLOCK, self.size, self.size), dtype=np.float32), width)
        unit: Field = field / field.std(axis=(1, 2), keepdims=True)
        return unit

    def blurred(self, field: Field, width: float) -> Field:
        """``field`` under a Gaussian of deviation ``width`` 64ths of the side, wrapping at the border."""
        sigma = width * self.size / 64
        rows, columns = np.fft.fftfreq(self.size), np.fft.rfftfreq(self.size)
        gain = np.exp(-2 * (np.pi * sigma) ** 2 * (rows[:, None] ** 2 + columns[None, :] ** 2))
        spectrum = np.fft.rfft2(field) * gain.astype(np.float32)
        return np.fft.irfft2(spectrum, s=(self.size, self.size)).astype(np.float32)

    def seen(self, density: Field) -> NDArray[np.uint8]:
        """Hounsfield units through the scanner: blur, noise, window."""
        scanner = self.scanner
        grainy = self.blurred(density, scanner.blur) + self.noise(0.4) * np.float32(scanner.noise)
        low = scanner.level + self.uniform(-40, 40) - scanner.width / 2
        grey: NDArray[np.uint8] = np.clip((grainy - low) / scanner.width * 255, 0, 255).round().astype(np.uint8)
        return grey


def _anatomy(canvas: _Canvas) -> tuple[NDArray[np.uint8], Field, Field]:
    """Organ masks, how near the pleura a lung's point is (1 there, 0 at its centre), and densities in HU."""
    body = canvas.ellipse(*_centre(0, 0), canvas.uniform(0.82, 0.92), canvas.uniform(0.60, 0.70), power=2.4)
    lungs = [_lung(canvas, side) for side in (-1, 1)]
    heart = canvas.ellipse(
        canvas.uniform(0.06, 0.16), canvas.uniform(0.02, 0.12), canvas.uniform(0.20, 0.28), canvas.uniform(0.18, 0.25)
    )
    middle = np.abs(canvas.x) < canvas.uniform(0.07, 0.11)
    depth = np.minimum(*lungs)
    organs = np.where(body < 1, BODY, BACKGROUND).astype(np.uint8)
    organs[(depth < 1) & (body < 0.9) & ~middle] = LUNG
    organs[heart < 1] = HEART
    tissue = np.select(
        [organs == LUNG, organs == HEART, body < 0.93, body < 1],
        [_lung_density(canvas, depth), np.float32(_BLOOD), _chest_wall(canvas, body), np.float32(_FAT)],
        np.float32(_AIR),
    )
    return organs, depth, tissue


def _centre(x: float, y: float) -> tuple[Field, Field]:
    return np.full((1, 1, 1), x, dtype=np.float32), np.full((1, 1, 1), y, dtype=np.float32)


def _lung(canvas: _Canvas, side: int) -> Field:
    x = side * canvas.uniform(0.38, 0.44)
    return canvas.ellipse(
        x, canvas.uniform(-0.06, 0.02), canvas.uniform(0.27, 0.34), canvas.uniform(0.40, 0.49), power=2.2
    )


def _lung_density(canvas: _Canvas, depth: Field) -> Field:
    """Air and blood: denser towards the back, with branching vessels that thin out towards the pleura."""
    gravity = canvas.uniform(0, 120) * (canvas.y + 0.5).clip(0, 1)
    ridges = np.exp(-((canvas.noise(2.2) / 0.13) ** 2)) * (canvas.noise(2.8) > 0)
    vessels = 650 * ridges * (1.05 - depth).clip(0, 1)
    density: Field = (_LUNG + canvas.uniform(-50, 60) + gravity + vessels).astype(np.float32)
    return density


def _chest_wall(canvas: _Canvas, body: Field) -> Field:
    """Muscle, with the spine, the aorta beside it, and ribs around."""
    angle = np.arctan2(canvas.y, canvas.x)
    ribs = (np.cos(angle * 9 + canvas.uniform(0, 6.28)) > 0.35) & (body > 0.80) & (body < 0.89)
    spine = canvas.ellipse(*_centre(0, 0.45), canvas.uniform(0.10, 0.13), canvas.uniform(0.11, 0.14)) < 1
    aorta = canvas.ellipse(canvas.uniform(0.13, 0.17), canvas.uniform(0.26, 0.32), *_centre(0.06, 0.06)) < 1
    found = np.select([ribs | spine, aorta], [np.float32(_BONE), np.float32(_BLOOD)], np.float32(_MUSCLE))
    tissue: Field = found.astype(np.float32)
    return tissue


def _patch(canvas: _Canvas, depth: Field, lung: NDArray[np.bool_]) -> Field:
    """One to three ragged patches near the pleura of either lung, from 0 (none) to 1 (full) for each pixel."""
    reach = np.zeros_like(depth)
    for number in range(3):
        side = np.where(canvas.uniform(0, 1) < 0.5, -1, 1)
        angle, far = canvas.uniform(-2.6, 2.6), canvas.uniform(0.45, 0.85)
        x, y = side * (0.41 + 0.28 * far * np.cos(angle)), 0.43 * far * np.sin(angle)
        radius = canvas.uniform(0.13, 0.30)
        blob = np.exp(-((canvas.x - x) ** 2 + (canvas.y - y) ** 2) / radius**2)
        present = canvas.uniform(0, 1) < (1.0, 0.6, 0.3)[number]
        reach = np.maximum(reach, np.where(present, blob, 0))
    ragged = reach + 0.12 * canvas.noise(2.5)
    soft = 1 / (1 + np.exp(-(ragged - 0.45) / 0.06))
    return np.where(lung, soft, 0).astype(np.float32)
