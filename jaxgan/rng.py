"""Keys by name, step and example: randomness belongs to the example, never to the device or to the order of calls.

root -> named stream -> fold_in(step) -> fold_in(update) -> fold_in(global example index). Adding a consumer under a new
name moves no other, and one example draws the same numbers on 1 or 256 devices.
"""

import math
import zlib
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Key

from jaxgan.errors import JaxganError
from jaxgan.types import AnyArray, Axis


class Part(NamedTuple):
    """The key of one micro-batch, passed on in place of a key: each example draws what it draws in the whole batch.

    key of the whole batch; index of this micro-batch, which may be traced, out of count; see `split`.
    """

    key: jax.Array
    index: jax.Array | int  # type: ignore[assignment]  # hides a method of tuples
    count: int  # type: ignore[assignment]


K = TypeVar("K", jax.Array, Part)


def root(seed: int | Integer[AnyArray, ""]) -> Key[Array, ""]:
    """The run's root key, threefry on every backend; JaxganError for a seed that is no number of 32 bits."""
    if isinstance(seed, int) and not 0 <= seed < 2**32:
        raise JaxganError(f"seed is {seed}; expected 0 to {2**32 - 1}")
    return jax.random.key(seed, impl="threefry2x32")


def stream(key: K, name: str) -> K:
    """The key of the stream called name; of a Part, the same Part of it."""
    if isinstance(key, Part):
        return key._replace(key=stream(key.key, name))
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def positions(n: int, axis: Axis = None, part: tuple[jax.Array | int, int] = (0, 1)) -> Integer[Array, " {n}"]:
    """Global example indices of this device's n examples; part: (index, count) of a micro-batch of n examples."""
    index, count = part
    local = jnp.arange(n)
    if isinstance(axis, str):
        return (jax.lax.axis_index(axis) * count + index) * n + local
    if axis is None:
        return index * n + local
    each = n // axis.mesh.size  # the micro-batch of one device; each device splits its own share
    local = (local // each * count + index) * each + local % each
    return jax.lax.with_sharding_constraint(local, axis)


def places(key: jax.Array | Part, n: int, axis: Axis = None) -> Integer[Array, " {n}"]:
    """`positions` in the whole batch of the n examples that a loss with this key sees."""
    return positions(n, axis, (key.index, key.count) if isinstance(key, Part) else (0, 1))


def split(batch, index: jax.Array | int, count: int, axis: Axis = None):
    """Micro-batch `index` of count: rows [n / count, ...] of each array [n, ...], at `positions` of that part."""

    def one(x):
        devices = 1 if axis is None or isinstance(axis, str) else axis.mesh.size
        rows = x.reshape(devices, count, -1, *x.shape[1:])
        rows = jax.lax.dynamic_index_in_dim(rows, index, 1, keepdims=False).reshape(-1, *x.shape[1:])
        return rows if axis is None or isinstance(axis, str) else jax.lax.with_sharding_constraint(rows, axis)

    return jax.tree.map(one, batch)


def examples(key: jax.Array | Part, n: int, axis: Axis = None) -> Key[Array, " {n}"]:
    """One key per example, by global example index."""
    whole = key.key if isinstance(key, Part) else key
    return jax.vmap(jax.random.fold_in, (None, 0))(whole, places(key, n, axis))


def normal(key: jax.Array | Part, n: int, shape: tuple[int, ...], axis: Axis = None) -> Float[Array, " {n} ..."]:
    """Standard normal [n, *shape], row i a function of key and the global index i alone."""
    return jax.vmap(lambda k: jax.random.normal(k, shape))(examples(key, n, axis))


SHUFFLED = 16  # rows


def permute(key: Key[Array, ""], index: Integer[Array, " m"], n: int) -> Integer[Array, " m"]:
    """The images of index under a random permutation of range(n), each found without making the whole permutation.

    A Feistel cipher of 6 rounds on the smallest even number of bits that holds n, walked until it lands in the range
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). index: in [0, n). On so few bits as
    n <= 16 has, the cipher favours some permutations, so these are shuffled.
    """
    if n <= SHUFFLED:
        return jax.random.permutation(key, n)[index].astype(jnp.int32)
    half = max(1, math.ceil(math.log2(max(n, 2)) / 2))
    mask = jnp.uint32((1 << half) - 1)
    round_keys = jax.random.bits(key, (6,), jnp.uint32)

    def mix(x, k):  # murmur3's 32-bit finaliser
        x = (x ^ k) * jnp.uint32(0x85EBCA6B)
        x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
        return x ^ (x >> 16)

    def cipher(x):
        left, right = x >> half, x & mask
        for i in range(6):
            left, right = right, left ^ (mix(right, round_keys[i]) & mask)
        return (left << half) | right

    outside = lambda x: x >= n  # noqa: E731
    walk = lambda x: jnp.where(outside(x), cipher(x), x)  # noqa: E731
    x = jax.lax.while_loop(lambda x: outside(x).any(), walk, cipher(index.astype(jnp.uint32)))
    return x.astype(jnp.int32)


def shuffled(
    key: Key[Array, ""], update: int | Integer[Array, ""], within: Integer[Array, " n"], batch: int, size: int
) -> Integer[Array, " n"]:
    """Row numbers of update number `update`: a new permutation of the rows every epoch, as a function of the key.

    within: positions inside the global batch of `batch` rows. An epoch is size // batch updates; rows that do not
    fill a batch are left out of that epoch, other ones each time. A batch larger than the data spans several epochs.
    """
    per_epoch = max(size // batch, 1)
    spans = -(-batch // size)
    epoch = (update // per_epoch) * spans + within // size
    offset = (update % per_epoch) * batch + within % size
    if spans == 1:
        return permute(jax.random.fold_in(key, epoch[0]), offset, size)
    return jax.vmap(lambda e, o: permute(jax.random.fold_in(key, e), o[None], size)[0])(epoch, offset)
