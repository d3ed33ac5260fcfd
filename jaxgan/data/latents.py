"""Latents in place of examples: found once by an encoder, kept on disk, and drawn anew each time they are seen."""

import hashlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.data import cache
from jaxgan.data.rows import coins
from jaxgan.types import Source

PART = 256  # examples that are encoded at a time
MIRRORED = " mirrored"  # ends the names of rows
WITHIN = " space "  # what comes in a fingerprint after that of the examples


def posteriors(source: Source, encode: Callable, digest: str, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [n, 2, *latent] of the latents of all examples of source, a read-only map; labels [n].

    encode: examples [PART, *shape] -> means and deviations, each [PART, *latent]; digest: of its weights. mirrored: of
    a source that mirrors examples, whether all are or none. Kept in the user's cache by both fingerprints, the version
    of JAX and the kind of device, on which rounding depends.
    """
    words = f"{source.fingerprint} {digest} {jax.__version__} {jax.devices()[0].device_kind}{' mirrored' * mirrored}"

    def build(part) -> dict:
        shape = jax.eval_shape(encode, jax.ShapeDtypeStruct((PART, *source.shape), np.float32))[0].shape[1:]
        made, labels = cache.reserve(part, (source.size, 2, *shape), np.float32), []
        keys = rng.examples(rng.root(0), PART)
        keys = keys[np.full(PART, np.argmax(np.asarray(coins(keys)) == mirrored))]  # one that falls as asked
        for start in range(0, source.size, PART):
            index = np.arange(start, min(start + PART, source.size))
            batch = source.finish(source.rows(np.resize(index, PART)), keys)  # of one size, for one program
            made[index] = np.stack(encode(batch["x"]), 1)[: len(index)]
            labels.append(np.asarray(batch["y"])[: len(index)])
        made.flush()
        return {"labels": np.concatenate(labels).tolist()}

    directory = cache.writable(cache.user_cache() / "latents")
    made, facts = cache.cached(directory, hashlib.sha256(words.encode()).hexdigest(), build)
    return made, np.asarray(facts["labels"], np.int32)


def moments(made: Sequence[np.ndarray], sampled: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of latents as `posteriors` gives them, over examples and places.

    sampled: of draws, else of the means. A channel that never changes has the deviation 1.
    """
    total, square, count = np.zeros(made[0].shape[-1]), np.zeros(made[0].shape[-1]), 0
    for part in (one[start : start + 16 * PART] for one in made for start in range(0, len(one), 16 * PART)):
        mean, deviation = np.moveaxis(np.asarray(part, np.float64), 1, 0)
        mean = mean.reshape(-1, mean.shape[-1])
        spread = deviation.reshape(mean.shape) ** 2 if sampled else 0
        total, square, count = total + mean.sum(0), square + (mean**2 + spread).sum(0), count + len(mean)
    middle = total / count
    width = np.sqrt(np.maximum(square / count - middle**2, 0))
    width = np.where(width > 0, width, 1)
    return tuple(middle.astype(np.float32).tolist()), tuple(width.astype(np.float32).tolist())


def per_channel(numbers: tuple[float, ...], rank: int) -> np.ndarray:
    """Numbers of channels [c] as an array [1, ..., 1, c] of this rank."""
    return np.asarray(numbers, np.float32).reshape(*[1] * (rank - 1), -1)


def latents(images: Source, made: Sequence[np.ndarray], labels: np.ndarray, space, sampled: bool) -> Source:
    """The source of the latents of images, less space.mean and over space.deviation; labels: as of `posteriors`.

    made: what it gives of images as they are, and where they are mirrored also of all of these. sampled: each time a
    latent is seen it is a new draw of its normal distribution, else it is the mean of that. What is drawn, and whether
    it is of the mirrored image, belongs to the update and the example's place in it, as all that is random.
    """
    shape, names = made[0].shape[2:], ("x", "s")[: 1 + sampled]
    mean, deviation = (per_channel(numbers, len(shape) + 1) for numbers in (space.mean, space.deviation))

    def rows(index):
        index = np.asarray(index)
        found = {other: one[index] for other, one in zip(("", MIRRORED), made)}
        parts = {f"{name}{o}": np.take(f, i, index.ndim) for o, f in found.items() for i, name in enumerate(names)}
        return parts | {"y": labels[index]}

    def finish(rows, keys):
        found = {name: jnp.asarray(rows[name]) for name in names}
        if len(made) > 1:
            coin = coins(keys).reshape(-1, *[1] * len(shape))
            found = {name: jnp.where(coin, rows[f"{name}{MIRRORED}"], x) for name, x in found.items()}
        x = found["x"]
        if sampled:
            noise = jax.vmap(lambda key: jax.random.normal(rng.stream(key, "posterior"), shape))(keys)
            x = x + found["s"] * noise
        return {"x": (x - mean) / deviation, "y": jnp.asarray(rows["y"])}

    return images._replace(
        shape=shape,
        rows=rows,
        finish=finish,
        fingerprint=f"{images.fingerprint}{WITHIN}{space.digest}",
        bytes=sum(one.nbytes for one in made) // (1 if sampled else 2) + labels.nbytes,
        found=f"{images.found}; as {'draws' if sampled else 'means'} of latents {'x'.join(map(str, shape))}",
        images=images,
        space=space,
    )


def of_images(fingerprint: str) -> str:
    """The fingerprint of the examples that the data of a fingerprint are latents of, or itself."""
    return fingerprint.partition(WITHIN)[0]
