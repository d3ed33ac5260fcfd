"""Inception v3 as TensorFlow published it on 2015-12-05, which FID, KID and the Inception Score are defined by.

Szegedy et al. 2015, arXiv 1512.00567; weights as pytorch-fid converted them. Against torchvision's network, averages do
not count padding, the last block pools by maximum, and there are 1008 classes.
"""

from pathlib import Path

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.features.layers import Images, Maps, Weights, conv, dense, max_pool, mean_pool, normalise
from jaxgan.features.unpickle import state_dict
from jaxgan.features.weights import Published, find
from jaxgan.types import AnyArray

FILE = Published(
    name="pt_inception-2015-12-05-6726825d.pth",
    size=95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
)
SIZE, DIM, CLASSES = 299, 2048, 1008


def load(path: str | Path = "") -> Weights:
    """The 472 tensors of pytorch-fid's file, which is downloaded once where no path is given."""
    return state_dict(find(FILE, path))


def pytorch_fid(u: Images) -> Images:
    """Values 0 to 255 -> [-1, 1], as pytorch-fid feeds the network."""
    return 2 * u / 255 - 1


def tensorflow(u: Images) -> Images:
    """Values 0 to 255 -> [-1, 0.992], as the graph itself, and with it torch-fidelity, NVlabs and clean-fid."""
    return (u - 128) / 128


def _unit(p: Weights, name: str, x: Images, stride: int = 1, pad: str = "same") -> Array:
    y = normalise(p, f"{name}.bn", conv(p, f"{name}.conv", x, stride, pad), 1e-3)
    return jnp.maximum(y, 0)


def _chain(p: Weights, block: str, x: Images, *names: str, last: dict | None = None) -> Maps:
    """Units in a row; `last` are options of the last one."""
    for name in names:
        x = _unit(p, f"{block}.{name}", x, **(last or {} if name == names[-1] else {}))
    return x


def _join(*parts: AnyArray) -> Array:
    return jnp.concatenate(parts, -1)


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{i}" for i in range(1, count + 1)]


def _a(p: Weights, block: str, x: Images) -> Array:
    return _join(
        _chain(p, block, x, "branch1x1"),
        _chain(p, block, x, *_numbered("branch5x5", 2)),
        _chain(p, block, x, *_numbered("branch3x3dbl", 3)),
        _chain(p, block, mean_pool(x), "branch_pool"),
    )


HALVED = {"stride": 2, "pad": "valid"}


def _b(p: Weights, block: str, x: Images) -> Array:
    return _join(
        _chain(p, block, x, "branch3x3", last=HALVED),
        _chain(p, block, x, *_numbered("branch3x3dbl", 3), last=HALVED),
        max_pool(x, 3, 2),
    )


def _c(p: Weights, block: str, x: Images) -> Array:
    return _join(
        _chain(p, block, x, "branch1x1"),
        _chain(p, block, x, *_numbered("branch7x7", 3)),
        _chain(p, block, x, *_numbered("branch7x7dbl", 5)),
        _chain(p, block, mean_pool(x), "branch_pool"),
    )


def _d(p: Weights, block: str, x: Images) -> Array:
    return _join(
        _chain(p, block, x, *_numbered("branch3x3", 2), last=HALVED),
        _chain(p, block, x, *_numbered("branch7x7x3", 4), last=HALVED),
        max_pool(x, 3, 2),
    )


def _e(p: Weights, block: str, x: Images, pool) -> Array:
    three, double = _chain(p, block, x, "branch3x3_1"), _chain(p, block, x, *_numbered("branch3x3dbl", 2))
    return _join(
        _chain(p, block, x, "branch1x1"),
        *(_chain(p, block, three, f"branch3x3_2{side}") for side in "ab"),
        *(_chain(p, block, double, f"branch3x3dbl_3{side}") for side in "ab"),
        _chain(p, block, pool(x), "branch_pool"),
    )


def network(p: Weights, x: Float[AnyArray, "n 299 299 3"]) -> dict[str, Array]:
    """Images prepared by `pytorch_fid` or `tensorflow` -> features [n, 2048] and logits [n, 1008].

    The logits leave the last bias out, as the Inception Score does (Salimans et al. 2016, arXiv 1606.03498).
    """
    x = _unit(p, "Conv2d_1a_3x3", x, 2, "valid")
    x = _unit(p, "Conv2d_2a_3x3", x, 1, "valid")
    x = max_pool(_unit(p, "Conv2d_2b_3x3", x), 3, 2)
    x = _unit(p, "Conv2d_3b_1x1", x)
    x = max_pool(_unit(p, "Conv2d_4a_3x3", x, 1, "valid"), 3, 2)
    for name in ("5b", "5c", "5d"):
        x = _a(p, f"Mixed_{name}", x)
    x = _b(p, "Mixed_6a", x)
    for name in ("6b", "6c", "6d", "6e"):
        x = _c(p, f"Mixed_{name}", x)
    x = _d(p, "Mixed_7a", x)
    x = _e(p, "Mixed_7b", x, mean_pool)
    x = _e(p, "Mixed_7c", x, lambda x: max_pool(x, 3, 1, 1))
    features = x.mean((1, 2))
    return {"features": features, "logits": dense(p, "fc", features, bias=False)}
