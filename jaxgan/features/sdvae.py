"""The autoencoder of Stable Diffusion, AutoencoderKL of diffusers, with published weights (Rombach et al. 2021).

arXiv 2112.10752: images of 3 channels in [-1, 1] to latents of 4 at an eighth of the size, and back. Weights lie under
the names that diffusers gives them; those of its first versions, which called attention's layers otherwise, do as well.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.features.layers import Images, Weights, conv, dense
from jaxgan.features.weights import safetensors, whole
from jaxgan.types import AnyArray

NAME, BYTES = "diffusion_pytorch_model.safetensors of stabilityai/sd-vae-ft-ema", 334_643_276
SCALE = 0.18215  # of latents, where they are trained on
EPS = 1e-6
LEAST, MOST = -30.0, 20.0  # of logarithms of variances
PIXELS = 1 << 19  # of images that go through at a time, which bounds memory
FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # in the first files


class Size(NamedTuple):
    """Channels at each resolution, residual blocks of the encoder at each, channels of a latent, groups of norms."""

    widths: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    latent: int = 4
    groups: int = 32

    @property
    def shrinks(self) -> int:
        """How many times as high and wide images are as their latents."""
        return 1 << (len(self.widths) - 1)


PUBLISHED = Size()


def _conv(name: str, out: int, inputs: int, kernel: int = 3) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inputs, kernel, kernel), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _residual(name: str, inputs: int, out: int) -> dict[str, tuple[int, ...]]:
    found = _norm(f"{name}.norm1", inputs) | _conv(f"{name}.conv1", out, inputs)
    found |= _norm(f"{name}.norm2", out) | _conv(f"{name}.conv2", out, out)
    return found | (_conv(f"{name}.conv_shortcut", out, inputs, 1) if inputs != out else {})


def _middle(name: str, width: int) -> dict[str, tuple[int, ...]]:
    found = _residual(f"{name}.resnets.0", width, width) | _residual(f"{name}.resnets.1", width, width)
    found |= _norm(f"{name}.attentions.0.group_norm", width)
    for layer in FORMER.values():
        at = f"{name}.attentions.0.{layer}"
        found |= {f"{at}.weight": (width, width), f"{at}.bias": (width,)}
    return found


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor."""
    top, count = s.widths[-1], len(s.widths)
    found = _conv("encoder.conv_in", s.widths[0], 3) | _conv("decoder.conv_in", top, s.latent)
    for way, blocks, sampler, widths, layers in (
        ("encoder", "down_blocks", "downsamplers", s.widths, s.layers),
        ("decoder", "up_blocks", "upsamplers", s.widths[::-1], s.layers + 1),
    ):
        before = widths[0]
        for i, width in enumerate(widths):
            at = f"{way}.{blocks}.{i}"
            for j in range(layers):
                found |= _residual(f"{at}.resnets.{j}", width if j else before, width)
            found |= _conv(f"{at}.{sampler}.0.conv", width, width) if i < count - 1 else {}
            before = width
        found |= _middle(f"{way}.mid_block", top) | _norm(f"{way}.conv_norm_out", widths[-1])
    found |= _conv("encoder.conv_out", 2 * s.latent, top) | _conv("decoder.conv_out", 3, s.widths[0])
    found |= _conv("quant_conv", 2 * s.latent, 2 * s.latent, 1) | _conv("post_quant_conv", s.latent, s.latent, 1)
    return found


def load(path: Path, s: Size) -> Weights:
    """The tensors of a .safetensors file, float32; JaxganError, a line, for one that is not there or another."""
    expected = f"expected is {NAME}, {BYTES:,} bytes"
    found = {_renamed(name): x for name, x in safetensors(path, expected).items()}
    return whole(path, found, shapes(s), expected)


def _renamed(name: str) -> str:
    """Today's name of a tensor."""
    parts = name.split(".")
    if parts[-3:-2] == ["0"] and "attentions" in parts:
        parts[-2] = FORMER.get(parts[-2], parts[-2])
    return ".".join(parts)


def _normal(p: Weights, name: str, x: Images, groups: int) -> Float[Array, "n h w c"]:
    """Each group of channels of an example to mean 0 and deviation 1, then a gain and a bias of each channel."""
    parts = jnp.asarray(x).reshape(*x.shape[:3], groups, -1)
    parts = parts - parts.mean((1, 2, 4), keepdims=True)
    parts = parts / jnp.sqrt(jnp.square(parts).mean((1, 2, 4), keepdims=True) + EPS)
    row = lambda key: jnp.asarray(p[f"{name}.{key}"])[None, None, None]  # noqa: E731
    return parts.reshape(x.shape) * row("weight") + row("bias")


def _resnet(p: Weights, name: str, x: Images, groups: int) -> Float[Array, "n h w k"]:
    y = conv(p, f"{name}.conv1", jax.nn.silu(_normal(p, f"{name}.norm1", x, groups)))
    y = conv(p, f"{name}.conv2", jax.nn.silu(_normal(p, f"{name}.norm2", y, groups)))
    return y + (conv(p, f"{name}.conv_shortcut", x) if f"{name}.conv_shortcut.weight" in p else x)


def _attention(p: Weights, name: str, x: Images, groups: int) -> Float[Array, "n h w c"]:
    """Attention of one head between all places, and what was there."""
    n, h, w, c = x.shape
    flat = _normal(p, f"{name}.group_norm", x, groups).reshape(n * h * w, c)
    q, k, v = (dense(p, f"{name}.{part}", flat).reshape(n, h * w, c) for part in ("to_q", "to_k", "to_v"))
    weight = jax.nn.softmax(jnp.einsum("nqc,nkc->nqk", q, k) / math.sqrt(c))
    seen = jnp.einsum("nqk,nkc->nqc", weight, v).reshape(n * h * w, c)
    return jnp.asarray(x) + dense(p, f"{name}.to_out.0", seen).reshape(x.shape)


def _mid(p: Weights, name: str, x: Images, groups: int) -> Float[Array, "n h w c"]:
    x = _resnet(p, f"{name}.resnets.0", x, groups)
    return _resnet(p, f"{name}.resnets.1", _attention(p, f"{name}.attentions.0", x, groups), groups)


def _encoder(p: Weights, x: Images, s: Size) -> Float[Array, "n h2 w2 k"]:
    x = conv(p, "encoder.conv_in", x)
    for i in range(len(s.widths)):
        at = f"encoder.down_blocks.{i}"
        for j in range(s.layers):
            x = _resnet(p, f"{at}.resnets.{j}", x, s.groups)
        if i < len(s.widths) - 1:  # one more row and column, below and on the right
            x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
            x = conv(p, f"{at}.downsamplers.0.conv", x, 2, "valid")
    x = _mid(p, "encoder.mid_block", x, s.groups)
    x = jax.nn.silu(_normal(p, "encoder.conv_norm_out", x, s.groups))
    return conv(p, "quant_conv", conv(p, "encoder.conv_out", x))


def _decoder(p: Weights, z: Images, s: Size) -> Float[Array, "n h2 w2 3"]:
    x = conv(p, "decoder.conv_in", conv(p, "post_quant_conv", z))
    x = _mid(p, "decoder.mid_block", x, s.groups)
    for i in range(len(s.widths)):
        at = f"decoder.up_blocks.{i}"
        for j in range(s.layers + 1):
            x = _resnet(p, f"{at}.resnets.{j}", x, s.groups)
        if i < len(s.widths) - 1:
            x = conv(p, f"{at}.upsamplers.0.conv", x.repeat(2, 1).repeat(2, 2))
    x = jax.nn.silu(_normal(p, "decoder.conv_norm_out", x, s.groups))
    return conv(p, "decoder.conv_out", x)


def _by_parts(f: Callable, x: Images, many: int) -> Array:
    """f of x, many examples at a time; of all at once where their number is not known yet, as in an export."""
    with jax.default_matmul_precision("highest"):  # as published, not less
        if not isinstance(x.shape[0], int) or x.shape[0] <= many:
            return f(x)
        return jax.lax.map(lambda one: f(one[None])[0], jnp.asarray(x), batch_size=many)


def encode(p: Weights, x: Float[AnyArray, "n h w 3"], s: Size) -> tuple[Array, Array]:
    """Mean and deviation, each [n, h / 8, w / 8, 4], of the latents of images in [-1, 1], before SCALE."""
    many = max(1, PIXELS // (x.shape[1] * x.shape[2]))
    mean, logvar = jnp.split(_by_parts(lambda x: _encoder(p, x, s), x, many), 2, -1)
    return mean, jnp.exp(jnp.clip(logvar, LEAST, MOST) / 2)


def decode(p: Weights, z: Float[AnyArray, "n h w c"], s: Size) -> Float[Array, "n h2 w2 3"]:
    """Images [n, 8 h, 8 w, 3] of latents before SCALE, in [-1, 1] but for what goes beyond."""
    many = max(1, PIXELS // (z.shape[1] * z.shape[2] * s.shrinks**2))
    return _by_parts(lambda z: _decoder(p, z, s), z, many)
