"""Networks of pytorch-CycleGAN-and-pix2pix: a U-Net or a ResNet from images to images, and a D that judges patches.

Isola et al. 2017, arXiv 1611.07004; Zhu et al. 2017, arXiv 1703.10593. Biases before instance norms, which take them
away, are there as in the published networks.
"""

import flax.linen as nn
import jax

from jaxgan.config import Config
from jaxgan.nets import residual_translator, unet
from jaxgan.nets.dcgan import NORMAL, gain
from jaxgan.nets.layers import Down, Head, Network, linen, widened
from jaxgan.nets.norms import normalise
from jaxgan.nets.resnet import Conv
from jaxgan.types import Axis, JaxganError, Net, Spec

NORM = {"g": "instance", "d": "instance"}  # of this architecture
TOLD = ("bicyclegan", "stargan")  # kinds that are nothing without z


class Discriminator(Network):
    """x [b, h, w, c] -> logits [b, h', w'], one a patch, and features [b, n] on request: means over places.

    4x4 convolutions that halve, to these widths, then one to `last` and one to the logits that halve nothing; without
    widths, 1x1 convolutions that judge each pixel (`last` twice the width of the one before). outputs: numbers
    [b, outputs] of the means over places, an encoder's.
    """

    widths: tuple[int, ...]
    last: int
    axis: Axis
    norm: str
    outputs: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, y, train: bool, features: bool = False):
        size, edge, bias = (4, 1, self.norm != "batch") if self.widths else (1, 0, self.norm != "batch")

        def act(x):
            return nn.leaky_relu(normalise(self.norm, train, self.axis, gain, affine=self.norm != "instance")(x), 0.2)

        def level(x, width):
            return act(Down(width, bias, NORMAL)(x))

        x = self.narrow(x)
        first = Down(self.widths[0], True, NORMAL) if self.widths else Conv(self.last // 2, 1, True, NORMAL)
        x = nn.leaky_relu(first(x), 0.2)
        for width in self.widths[1:]:
            x = self.stage(level, x, width=width)
        x = act(Conv(self.last, size, bias, NORMAL, edge)(x))
        h = widened(x).mean((1, 2))
        if self.outputs:
            return Head(0, NORMAL, NORMAL, self.outputs)(h, None)
        logits = widened(Conv(1, size, bool(self.widths) or bias, NORMAL, edge)(x))[..., 0]
        return (logits, h) if features else logits


def generator(config: Config, spec: Spec) -> Net:
    """There is none: JaxganError."""
    raise JaxganError(
        f"net {config.net!r} makes images of images, and kind {config.kind!r} makes them of latents; use a kind that "
        "translates, pix2pix, cyclegan, bicyclegan or stargan, or net dcgan"
    )


def judge(config: Config, spec: Spec) -> Discriminator:
    """The D of these options for images of this shape; JaxganError where they are too small or cannot be halved."""
    width, layers = config.patchgan.d_width or config.width, config.patchgan.layers
    widths = tuple(width * min(2**i, 8) for i in range(layers))
    sides = spec.shape[:-1]
    if len(sides) != 2 or any(n % 2**layers or (layers and n // 2**layers < 3) for n in sides):
        raise JaxganError(
            f"patchgan's D halves images {layers} times to maps of 3 pixels or more, and examples have shape "
            f"{tuple(spec.shape)}; set size to a multiple of {2**layers} from {3 * 2**layers} on, or patchgan.layers "
            "to fewer (0 judges pixels)"
        )
    return Discriminator(widths, width * min(2 ** max(layers, 1), 8), spec.axis, spec.norm, spec.outputs)


def discriminator(config: Config, spec: Spec) -> Net:
    """Convolutions from images to logits, one for each patch of 70x70 pixels (patchgan.layers 3), or for each pixel."""
    return linen(judge(config, spec), config)


def encoder(config: Config, spec: Spec) -> Net:
    """D's layers from images to numbers [b, outputs] of the means over places."""
    return linen(judge(config, spec._replace(norm=NORM["d"])), config)


def translator(config: Config, spec: Spec) -> Net:
    """The U-Net, whose depth follows from the size, or the ResNet."""
    options, (height, *sides) = config.patchgan, spec.shape
    if options.g == "unet":
        if len(sides) != 2 or height != sides[0] or height < 8 or height & (height - 1):
            raise JaxganError(
                "patchgan's unet translates square images of 8, 16, 32, 64, ... pixels, and examples have shape "
                f"{tuple(spec.shape)}; set size to one of these, or patchgan.g to resnet, which takes multiples of 4"
            )
        if options.dropout and height < 64:
            raise JaxganError(
                "patchgan.dropout is on, and drops units of levels that the unet has from images of 64 pixels on, and "
                f"these have {height}; leave it off, or set patchgan.g to resnet"
            )
        widths = tuple(config.width * min(2**i, 8) for i in range(height.bit_length() - 1))
        net: Network = unet.UNet(widths, spec.axis, spec.norm, options.dropout)
    elif len(sides) != 2 or height % 4 or sides[0] % 4 or min(height, sides[0]) < 8:
        raise JaxganError(
            "patchgan's resnet translates images whose height and width are multiples of 4 from 8 on, and examples "
            f"have shape {tuple(spec.shape)}; set size to one of these"
        )
    elif spec.norm == "instance" and config.kind in TOLD:
        raise JaxganError(
            f"kind {config.kind!r} tells G what to make by numbers that are the same at each place, and patchgan's "
            "resnet, whose borders are reflected, loses them to instance norms; set g_norm to layer or group, "
            "patchgan.g to unet, or net to stargan"
        )
    else:
        net = residual_translator.Translator(
            *(config.width, options.blocks, spec.axis, spec.norm, NORMAL, gain),
            bias=spec.norm != "batch",
            affine=spec.norm != "instance",
            dropout=options.dropout,
        )
    return linen(net, config)._replace(keyed=options.dropout)
