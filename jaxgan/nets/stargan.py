"""StarGAN's networks (Choi et al. 2018, arXiv 1711.09020): a ResNet that is told a class, and a deep D of patches."""

import flax.linen as nn
import jax

from jaxgan.config import Config
from jaxgan.nets import patchgan, residual_translator
from jaxgan.nets.layers import Down, Head, Network, linen, widened
from jaxgan.nets.norms import normalise
from jaxgan.nets.resnet import Conv
from jaxgan.types import Axis, JaxganError, Net, Spec

NORM = {"g": "instance", "d": "none"}  # of this architecture
BLOCKS, HALVINGS = 6, 6  # residual blocks of G, and convolutions of D that halve
UNIFORM = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # PyTorch's, as in the authors' code
generator = patchgan.generator


class Discriminator(Network):
    """x [b, h, w, c] -> logits [b, h / 64, w / 64], or these and features [b, n], all of the last map.

    A class head that is linear in the features is the authors' convolution of the whole map, with a bias of a class.
    outputs: numbers [b, outputs] in place of logits, an encoder's.
    """

    width: int
    axis: Axis
    norm: str
    outputs: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, y, train: bool, features: bool = False):
        def level(x, i):
            x = Down(self.width * 2**i, True, UNIFORM)(x)
            return nn.leaky_relu(normalise(self.norm, train, self.axis)(x) if i else x, 0.01)

        x = self.narrow(x)
        for i in range(HALVINGS):
            x = self.stage(level, x, i=i)
        h = widened(x).reshape(len(x), -1)
        if self.outputs:
            return Head(0, UNIFORM, UNIFORM, self.outputs)(h, None)
        logits = widened(Conv(1, 3, False, UNIFORM)(x))[..., 0]
        return (logits, h) if features else logits


def judge(config: Config, spec: Spec) -> Discriminator:
    """The D for images of this shape; JaxganError where they cannot be halved six times."""
    if len(spec.shape) != 3 or any(n % 2**HALVINGS for n in spec.shape[:2]):
        raise JaxganError(
            f"stargan's D halves images {HALVINGS} times, and examples have shape {tuple(spec.shape)}; set size to a "
            f"multiple of {2**HALVINGS}, or net to patchgan"
        )
    return Discriminator(config.width, spec.axis, spec.norm, spec.outputs)


def discriminator(config: Config, spec: Spec) -> Net:
    """Six convolutions that halve and double the width, and logits of the last map's places."""
    return linen(judge(config, spec), config)


def encoder(config: Config, spec: Spec) -> Net:
    """D's layers from images to numbers [b, outputs]."""
    return linen(judge(config, spec), config)


def translator(config: Config, spec: Spec) -> Net:
    """A ResNet of six blocks; D asks for sizes that suit it too."""
    judge(config, spec)
    net = residual_translator.Translator(
        *(config.width, BLOCKS, spec.axis, spec.norm, UNIFORM),
        size=4,
        reflect=False,
        bias=False,
        last_bias=False,
        affine=True,
    )
    return linen(net, config)
