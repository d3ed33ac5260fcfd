"""DINOv2's vision transformers, with published weights: Oquab et al. 2023, arXiv 2304.07193.

Patches of 14 pixels and a class token through blocks; the class token after the last norm is the feature of an image.
Weights are Meta's files, or those of Hugging Face, which name tensors otherwise. Of blocks there is one program, which
runs over arrays [blocks, ...] of their weights.
"""

import math
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan.errors import JaxganError
from jaxgan.features.layers import Images, Weights, conv, dense
from jaxgan.features.resizes import cubic, resize
from jaxgan.features.unpickle import state_dict
from jaxgan.features.weights import cache, safetensors, whole
from jaxgan.types import AnyArray

PIXELS = 224  # of the images that metrics and GAT show it
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
EPS = 1e-6
OFFSET = 0.1  # of a patch, added to the patches of a side where places are interpolated
ADDRESS = "https://dl.fbaipublicfiles.com/dinov2"
BLOCKS = "blocks"
# Hugging Face's names of what is not in blocks, and of what is
OUTER = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
}
INNER = {
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
}


class Size(NamedTuple):
    """Numbers of a token, blocks, heads, pixels of a patch, and patches of a side for which places were learned."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 14
    side: int = 37


SIZES = {"vits14": Size(384, heads=6), "vitb14": Size(), "vitl14": Size(1024, 24, 16)}


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of Meta's file."""
    d = s.width
    layers = {"attn.qkv": (3 * d, d), "attn.proj": (d, d), "mlp.fc1": (4 * d, d), "mlp.fc2": (d, 4 * d)}
    block: dict[str, tuple[int, ...]] = {"ls1.gamma": (d,), "ls2.gamma": (d,)}
    for name, shape in ({"norm1": (d,), "norm2": (d,)} | layers).items():
        block |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    found = {"cls_token": (1, 1, d), "mask_token": (1, d), "pos_embed": (1, 1 + s.side**2, d)}
    found |= {"patch_embed.proj.weight": (d, 3, s.patch, s.patch), "patch_embed.proj.bias": (d,)}
    found |= {f"{BLOCKS}.{i}.{name}": shape for i in range(s.depth) for name, shape in block.items()}
    return found | {"norm.weight": (d,), "norm.bias": (d,)}


def load(name: str, path: str | Path = "") -> Weights:
    """Tensors of one of SIZES, float32, those of blocks stacked: of the file at path, else of that in the cache.

    .safetensors files have Hugging Face's names or Meta's, others are read as torch.save writes them, without running
    anything. JaxganError, a line, for a file that is not there, or is another network.
    """
    s, file = SIZES[name], f"dinov2_{name}_pretrain.pth"
    size = sum(map(math.prod, shapes(s).values()))
    expected = f"expected is {ADDRESS}/dinov2_{name}/{file}, {size:,} numbers"
    place = Path(path).expanduser() if path else cache() / file
    if not place.is_file():
        raise JaxganError(
            f"there are no weights of DINOv2 at {place}; {expected}: put it there, or say where it lies: --weights PATH"
        )
    found = renamed(safetensors(place, expected)) if place.suffix == ".safetensors" else state_dict(place)
    return stacked(whole(place, found, shapes(s), expected), s)


def renamed(p: Weights) -> Weights:
    """Tensors under Hugging Face's names, under Meta's; queries, keys and values joined."""
    found = {}
    for name, x in p.items():
        if not name.startswith("encoder.layer."):
            outer = next((old for old in OUTER if name.startswith(old)), "")
            found[OUTER.get(outer, "") + name[len(outer) :]] = x
            continue
        i, _, inner = name.removeprefix("encoder.layer.").partition(".")
        at = f"encoder.layer.{i}.attention.attention"
        if inner.startswith("attention.attention."):
            kind = name.rpartition(".")[2]
            parts = [p[part] for part in (f"{at}.{of}.{kind}" for of in ("query", "key", "value")) if part in p]
            alike = len({part.shape for part in parts}) == 1
            found[f"{BLOCKS}.{i}.attn.qkv.{kind}"] = np.concatenate(parts) if alike else parts[0]  # and is refused
            continue
        old = next((old for old in INNER if inner.startswith(old)), "")
        found[f"{BLOCKS}.{i}.{INNER.get(old, '')}{inner[len(old) :]}"] = x
    return found


def stacked(p: Weights, s: Size) -> Weights:
    """Tensors of all blocks as one, [blocks, ...]."""
    inner = {name.split(".", 2)[2] for name in p if name.startswith(f"{BLOCKS}.")}
    found = {name: x for name, x in p.items() if not name.startswith(f"{BLOCKS}.")}
    return found | {
        f"{BLOCKS}.{name}": np.stack([p[f"{BLOCKS}.{i}.{name}"] for i in range(s.depth)]) for name in sorted(inner)
    }


def prepared(u: Images, rounded: bool = False) -> Float[Array, "n h2 w2 c"]:
    """Values 0 to 255 -> PIXELS of a side by PIL's bicubic, with ImageNet's mean 0 and deviation 1 a channel.

    rounded: to whole numbers first, as pictures that PIL resized are.
    """
    x = resize(u, PIXELS, "clean")
    mean, deviation = (jnp.array(v)[None, None, None] for v in (MEAN, DEVIATION))
    return ((jnp.round(x) if rounded else x) / 255 - mean) / deviation


def network(p: Weights, x: Float[AnyArray, "n h w 3"], s: Size) -> Float[Array, "n tokens width"]:
    """Prepared images, of sides that patches divide -> tokens after the last norm, the class token first."""
    patches = conv(p, "patch_embed.proj", x, s.patch, "valid")
    n, *grid, width = patches.shape
    first = jnp.broadcast_to(jnp.asarray(p["cls_token"]), (n, 1, width))
    tokens = jnp.concatenate([first, patches.reshape(n, -1, width)], 1) + placed(p["pos_embed"], grid, s.side)
    blocks = {name.removeprefix(f"{BLOCKS}."): part for name, part in p.items() if name.startswith(f"{BLOCKS}.")}
    tokens, _ = jax.lax.scan(lambda x, own: (_block(own, x, s.heads), None), tokens, blocks)
    return _norm(p, "norm", tokens)


def placed(table: AnyArray, grid: list[int], side: int) -> Float[Array, "1 tokens width"]:
    """Learned places [1, 1 + side^2, width] for a grid of patches, by PyTorch's bicubic where that is another."""
    first, places = jnp.asarray(table)[:, :1], jnp.asarray(table)[0, 1:].reshape(side, side, -1)
    if grid != [side, side]:
        rows, columns = (cubic(side, n, (n + OFFSET) / side) for n in grid)
        places = jnp.einsum("ih,hwc,jw->ijc", rows, places, columns)
    return jnp.concatenate([first, places.reshape(1, math.prod(grid), -1)], 1)


def _block(p: Weights, x: Float[Array, "n t c"], heads: int) -> Float[Array, "n t c"]:
    """Attention between all tokens, then two layers, each before a norm and times gains of channels."""
    x = x + _attention(p, _norm(p, "norm1", x), heads) * jnp.asarray(p["ls1.gamma"])[None, None]
    h = jax.nn.gelu(_linear(p, "mlp.fc1", _norm(p, "norm2", x)), approximate=False)
    return x + _linear(p, "mlp.fc2", h) * jnp.asarray(p["ls2.gamma"])[None, None]


def _attention(p: Weights, x: Float[Array, "n t c"], heads: int) -> Float[Array, "n t c"]:
    q, k, v = jnp.moveaxis(_linear(p, "attn.qkv", x).reshape(*x.shape[:2], 3, heads, -1), 2, 0)
    weight = jax.nn.softmax(jnp.einsum("nqhc,nkhc->nhqk", q, k) / math.sqrt(q.shape[-1]))
    return _linear(p, "attn.proj", jnp.einsum("nhqk,nkhc->nqhc", weight, v).reshape(x.shape))


def _linear(p: Weights, name: str, x: Float[Array, "n t c"]) -> Float[Array, "n t k"]:
    return dense(p, name, x.reshape(-1, x.shape[-1])).reshape(*x.shape[:2], -1)


def _norm(p: Weights, name: str, x: Float[Array, "n t c"]) -> Float[Array, "n t c"]:
    """Each token to mean 0 and deviation 1, then gains and biases."""
    x = x - x.mean(-1, keepdims=True)
    x = x / jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + EPS)
    return x * jnp.asarray(p[f"{name}.weight"])[None, None] + jnp.asarray(p[f"{name}.bias"])[None, None]
