"""Architectures, G and D together; the only package that knows Flax."""

from jaxgan.config import Config
from jaxgan.nets import conv1d, dcgan, mlp, unet
from jaxgan.types import Axis, JaxganError, Net

NETS = {"mlp": mlp, "dcgan": dcgan, "conv1d": conv1d}
TRANSLATORS = {"mlp": mlp.translator, "dcgan": unet.translator}


def build(config: Config, shape: tuple[int, ...], classes: int = 0, axis: Axis = None) -> dict[str, Net]:
    """The generator and the discriminator of a config, {"g": Net, "d": Net}, for examples of this shape.

    Spectral normalisation, and the reference of virtual batch normalisation, are not in them: `spectral` and `virtual`
    stand around what a game makes of them.
    """
    net, classes = NETS[config.net], 0 if config.kind == "plain" else classes
    args = (tuple(shape), config.width, config.depth, classes, axis)
    norm = {"g": config.g_norm, "d": config.d_norm}
    norm = {side: net.NORM[side] if name == "own" else name for side, name in norm.items()}
    return {"g": net.generator(*args, norm["g"]), "d": net.discriminator(*args, norm["d"])}


def encoder(config: Config, shape: tuple[int, ...], classes: int, axis: Axis, outputs: int) -> Net:
    """The network of a config from examples of this shape, and labels where there are classes, to [b, outputs]."""
    return NETS[config.net].encoder(tuple(shape), config.width, config.depth, classes, axis, outputs)


def translator(config: Config, shape: tuple[int, ...], axis: Axis) -> Net:
    """The network of a config from latents and images of this shape to other images: (z [b, n], x [b, *shape])."""
    if config.net not in TRANSLATORS:
        raise JaxganError(f"net {config.net!r} translates nothing yet; use dcgan for images, mlp for points")
    return TRANSLATORS[config.net](tuple(shape), config.width, config.depth, axis)
