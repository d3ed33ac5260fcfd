"""The plain GAN and the class-conditional one.

G maps z (and a label) to an example; D maps an example (and its label) to a logit.
"""

from jaxgan.config import Config
from jaxgan.games.adversarial import adversarial
from jaxgan.types import Axis, Game


def plain(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Goodfellow et al. 2014, arXiv 1406.2661. Labels, if there are any, are not used."""
    return adversarial(config, shape, 0, axis)


def conditional(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Mirza and Osindero 2014, arXiv 1411.1784, with a projection D: Miyato and Koyama 2018, arXiv 1802.05637.

    Generated examples take the labels of the real ones in their batch (repeated or thinned out if the numbers differ).
    """
    return adversarial(config, shape, classes, axis)
