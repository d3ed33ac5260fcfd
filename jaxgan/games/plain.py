"""The plain GAN: G maps z to an example, D maps an example to a logit."""

from jaxgan.config import Config
from jaxgan.games.adversarial import adversarial
from jaxgan.types import Axis, Game


def plain(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Goodfellow et al. 2014, arXiv 1406.2661. Labels, if there are any, are not used."""
    return adversarial(config, shape, 0, axis)
