"""Architectures by name, and their options: a record for each that has any, always there, for its network alone.

No jax here. To add one: its file in nets/, and its name in NETS; if it has options, a record and its field in
Architecture.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from jaxgan.fields import option

NETS = ("mlp", "dcgan", "conv1d", "sngan")  # each a file of nets/
if TYPE_CHECKING:
    Name = str
else:
    Name = Literal[(*NETS, "own")]
Norm = Literal["own", "none", "batch", "virtual", "spectral", "batch_spectral"]


@dataclasses.dataclass(frozen=True)
class Sngan:
    """ResNets of SNGAN, and of SAGAN with attention."""

    wide: bool = option(False, "net sngan")
    """Blocks of D are as wide inside as at their end (SAGAN, StudioGAN), not as at their start (Miyato et al.)."""
    attention: int = option(0, "net sngan")
    """Height in pixels at which G and D have self-attention (SAGAN: 32); 0 is none."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The network of a run and its options; flags of `config.Config`."""

    net: Name = option("dcgan", "parts")
    """Architecture of generator and discriminator; own is what a program puts at nets.NETS."""
    sngan: Sngan = Sngan()
    d_norm: Norm = option("own", "discriminator", needs="critic loss")
    """Normalisation in D; own is the architecture's (batch in dcgan, spectral in sngan, else none)."""
    g_norm: Norm = option("own", "generator", needs="generator")
    """Normalisation in G; own is the architecture's (none in mlp, else batch), batch_spectral is SAGAN's."""
    width: int = option(64, "parts", least=1)
    """Hidden units (mlp), channels at the highest resolution (dcgan, conv1d), or those that tables multiply (sngan)."""
    depth: int = option(2, "net mlp", least=1)
    """Hidden layers (mlp)."""
