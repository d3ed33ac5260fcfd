"""Image files for tests, and rows of sources."""

import numpy as np


def save(root, name, image, **options):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    image.save(root / name, **options)


def rows(source):
    return source.rows(np.arange(source.size))


def noise(seed=0, shape=(8, 8, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
