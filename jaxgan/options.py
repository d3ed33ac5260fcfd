"""Architectures by name, and their options: a record for each that has any, always there, for its network alone.

No jax here. To add one: its file in nets/, and its name in NETS; if it has options, a record and its field in
Architecture.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from jaxgan.fields import brief, option

# each a file of nets/
NETS = (
    "mlp",
    "dcgan",
    "conv1d",
    "sngan",
    "biggan",
    "progan",
    "stylegan2",
    "r3gan",
    "r3gan2",
    "patchgan",
    "stargan",
    "rrdb",
    "gat",
    "cat",
    "spatial",
)
if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[(*NETS, "own")]
Norm = Literal["own", "none", "batch", "virtual", "instance", "group", "layer", "pixel", "spectral", "batch_spectral"]


@dataclasses.dataclass(frozen=True, repr=False)
class Mlp:
    """Multilayer perceptrons; PacGAN's for points have maxout units, and others widths and depths in D than in G."""

    __repr__ = brief

    pieces: int = option(1, "net mlp", needs="critic loss", least=1)
    """Linear functions of which a unit of D is the greatest (maxout; PacGAN: 5); 1 is a leaky ReLU."""
    d_width: int = option(0, "net mlp", needs="critic loss")
    """Units of D's layers where they are not G's (PacGAN: 200, and 400 in G); 0 is the same."""
    d_depth: int = option(0, "net mlp", needs="critic loss")
    """Hidden layers of D where they are not G's (PacGAN: 3, and 4 in G); 0 is the same."""
    init: Literal["he", "normal"] = option("he", "net mlp")
    """Kernels at first: He's, and LeCun's in last layers, or N(0, 0.02) (PacGAN)."""


@dataclasses.dataclass(frozen=True, repr=False)
class Sngan:
    """ResNets of SNGAN, and of SAGAN with attention."""

    __repr__ = brief

    wide: bool = option(False, "net sngan")
    """Blocks of D are as wide inside as at their end (SAGAN, StudioGAN), not as at their start (Miyato et al.)."""
    attention: int = option(0, "net sngan")
    """Height in pixels at which G and D have self-attention (SAGAN: 32); 0 is none."""
    d_width: int = option(0, "net sngan")
    """Width of D where it is another than G's (CIFAR-10's BigGAN: twice that); 0 is the same."""
    init: Literal["glorot", "normal"] = option("glorot", "net sngan")
    """Kernels at first: Glorot's, or N(0, 0.02) (CIFAR-10's BigGAN)."""


@dataclasses.dataclass(frozen=True, repr=False)
class Biggan:
    """BigGAN; the papers' widths are 96 (deep 128), the latent 20 for the stem and each block (deep 128)."""

    __repr__ = brief

    deep: bool = option(False, "net biggan")
    """BigGAN-deep: bottlenecks, two for each resolution, that all get the whole latent."""
    attention: int = option(0, "net biggan")
    """Height in pixels at which G and D have self-attention (the paper: 64); 0 is none."""


@dataclasses.dataclass(frozen=True, repr=False)
class Progan:
    """ProGAN, whose networks grow; the paper's width and latent are 512."""

    __repr__ = brief

    base: int = option(16384, "net progan", least=4)
    """Channels times pixels: at each resolution base / pixels channels, at most the width."""
    phase: int = option(600_000, "net progan", least=1)
    """Images for which a resolution fades in, and for which it then stays alone; it begins alone, at 4 pixels."""


@dataclasses.dataclass(frozen=True, repr=False)
class Stylegan2:
    """StyleGAN2; the paper's width and latent are 512, its defaults config F."""

    __repr__ = brief

    base: int = option(32768, "net stylegan2", least=4)
    """Channels times pixels: at each resolution base / pixels channels, at most the width (paper256: 16384)."""
    mapping: int = option(8, "net stylegan2", least=1)
    """Layers from z to styles (CIFAR-10: 2)."""
    mixing: float = option(0.9, "net stylegan2")
    """Share of examples with the styles of a second latent from a random layer on (CIFAR-10: 0)."""
    group: int = option(4, "net stylegan2", least=1)
    """Examples whose deviation D sees (CIFAR-10: 32); 1 is none."""
    g_layout: Literal["skip", "residual", "plain"] = option("skip", "net stylegan2")
    """G's image: a sum over resolutions, residual blocks to one, or neither."""
    d_layout: Literal["residual", "skip", "plain"] = option("residual", "net stylegan2")
    """D's blocks: residual, told the image at each resolution, or neither (CIFAR-10)."""


@dataclasses.dataclass(frozen=True, repr=False)
class R3gan:
    """Residual stages of R3GAN; the paper's width is 768 (ImageNet 1536), its latent 64."""

    __repr__ = brief

    blocks: int = option(2, "net r3gan", least=1)
    """Residual blocks at each resolution."""
    group: int = option(16, "net r3gan", least=1)
    """Channels of a group of the 3x3 convolutions (ImageNet: 32)."""
    wide: int = option(32, "net r3gan", least=4)
    """Pixels up to which stages have the whole width; each doubling above halves it (ImageNet-64: 64)."""


@dataclasses.dataclass(frozen=True, repr=False)
class R3gan2:
    """Stages of R3GAN2; its code's width is 512 (ImageNet 1024), its latent 64."""

    __repr__ = brief

    blocks: int = option(4, "net r3gan2", least=1)
    """Residual blocks at each resolution from twice the lowest on."""
    group: int = option(32, "net r3gan2", least=1)
    """Channels of a group of the 3x3 convolutions, and of the maps of z."""


@dataclasses.dataclass(frozen=True, repr=False)
class Patchgan:
    """Networks of pytorch-CycleGAN-and-pix2pix, for kinds that translate images; its width is 64."""

    __repr__ = brief

    g: Literal["unet", "resnet"] = option("unet", "net patchgan")
    """G: a U-Net down to one pixel (sizes 8, 16, 32, ...), or a ResNet (multiples of 4)."""
    blocks: int = option(9, "patchgan.g resnet")
    """Residual blocks of the ResNet (at 128 pixels: 6)."""
    layers: int = option(3, "net patchgan", needs="critic loss")
    """Convolutions of D that halve the image: 3 judges patches of 70 pixels, 0 each pixel."""
    d_width: int = option(0, "net patchgan", needs="critic loss")
    """Width of D where it is another than G's; 0 is the same."""
    dropout: bool = option(False, "net patchgan")
    """Drop half of the units in G's inner layers, in training: pix2pix's noise."""


@dataclasses.dataclass(frozen=True, repr=False)
class Rrdb:
    """ESRGAN's networks, which make images of smaller ones; the paper's width is 64."""

    __repr__ = brief

    blocks: int = option(23, "net rrdb", least=1)
    """Residual-in-residual dense blocks of G."""
    growth: int = option(32, "net rrdb", least=1)
    """Channels that each layer of a dense block adds."""
    d_width: int = option(0, "net rrdb", needs="critic loss")
    """Width of D where it is another than G's; 0 is the same."""


@dataclasses.dataclass(frozen=True, repr=False)
class Gat:
    """Transformers of GAT; the papers' widths are 384 (S), 768 (B), 1024 (L) and 1152 (XL), the latent 64."""

    __repr__ = brief

    depth: int = option(12, "net gat", least=1)
    """Blocks of G, and of D (L: 24, XL: 28)."""
    heads: int = option(0, "net gat")
    """Heads of attention (XL: 16); 0 is one for each 64 of the width."""
    patch: int = option(2, "net gat", least=1)
    """Height and width in pixels of a patch, of which each is a token."""
    levels: int = option(4, "net gat", least=1)
    """Blocks after which G puts out a part of the image, equally spaced; kind gat shows D the sums up to each."""
    features: int = option(2048, "net gat", least=1)
    """Numbers of the product with the label in D."""


@dataclasses.dataclass(frozen=True, repr=False)
class Cat:
    """Transformers of CAT; the papers' widths are 768 (M) and 1280 (H), the latent 64."""

    __repr__ = brief

    depth: int = option(24, "net cat", least=1)
    """Blocks of G (H: 32)."""
    heads: int = option(0, "net cat")
    """Heads of attention in G (H: 16); 0 is one for each 64 of the width."""
    patch: int = option(2, "net cat", least=1)
    """Height and width in pixels of a patch, of which each is a token."""
    levels: int = option(4, "net cat", least=1)
    """Images that G puts out, after equally many blocks each; kind cat shows D each at half the size of the next."""
    features: int = option(2048, "net cat", least=1)
    """Numbers of the product with the label in D."""
    d_width: int = option(0, "net cat")
    """Width of D where it is another than G's (H: 768); 0 is the same."""
    d_depth: int = option(12, "net cat", least=1)
    """Blocks of D."""
    d_heads: int = option(0, "net cat")
    """Heads of attention in D; 0 is one for each 64 of its width."""


@dataclasses.dataclass(frozen=True, repr=False)
class Spatial:
    """Small autoencoders whose latents are maps; --latent is a multiple of the places of one."""

    __repr__ = brief

    halvings: int = option(2, "net spatial", least=1)
    """Convolutions that halve the image on its way to a map of latents, and double the width."""


@dataclasses.dataclass(frozen=True, repr=False)
class Architecture:
    """The network of a run and its options; flags of `config.Config`."""

    __repr__ = brief

    net: Name = option("dcgan", "parts")
    """Architecture of generator and discriminator; own is what a program puts at nets.NETS."""
    mlp: Mlp = Mlp()
    sngan: Sngan = Sngan()
    biggan: Biggan = Biggan()
    progan: Progan = Progan()
    stylegan2: Stylegan2 = Stylegan2()
    r3gan: R3gan = R3gan()
    r3gan2: R3gan2 = R3gan2()
    patchgan: Patchgan = Patchgan()
    rrdb: Rrdb = Rrdb()
    gat: Gat = Gat()
    cat: Cat = Cat()
    spatial: Spatial = Spatial()
    d_norm: Norm = option("own", "discriminator", needs="critic loss")
    """Normalisation in D; own is the architecture's (batch in dcgan, spectral in sngan, else none)."""
    g_norm: Norm = option("own", "generator", needs="norms")
    """Normalisation in G; own is the architecture's (none in mlp, else batch), batch_spectral is SAGAN's."""
    minibatch: int = option(
        0, "discriminator", never=("net progan stylegan2 r3gan r3gan2 gat cat",), needs="critic loss", later=True
    )
    """Kernels of minibatch discrimination, by which D sees how near examples of a batch are (its code: 100); 0 is none.
    """
    width: int = option(64, "parts", least=1)
    """Hidden units (mlp); numbers of a token (gat, cat); channels at the highest (dcgan, conv1d) or lowest resolution
    (r3gan), or their unit; at each of them (r3gan2); after the first halving (spatial)."""
    depth: int = option(2, "net mlp", least=1)
    """Hidden layers (mlp)."""
    precision: Literal["float32", "bfloat16"] = option("float32", "parts", later=True)
    """What networks compute in; their parameters, statistics, logits and images are float32 (see nets/README.md)."""
    remat: bool = option(False, "devices", neutral=True, later=True)
    """Keep the inputs of each block of a network alone, and compute it again for its gradient: less memory, slower."""
