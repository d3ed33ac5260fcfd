"""Games that make images of smaller ones, which they make themselves of real images: ESRGAN and its first stage.

The smaller image is the real one by cubic resizing with antialiasing, as MATLAB's and Pillow's bicubic (Keys' kernel of
-1/2, widened by the factor), clipped to [-1, 1] and not rounded.
"""

from collections.abc import Callable

import jax

from jaxgan.config import Config
from jaxgan.features.perceptual import PERCEPTUAL, maps
from jaxgan.games.adversarial import Parts, adversarial
from jaxgan.games.sides import shown
from jaxgan.games.terms import Play, Term, active
from jaxgan.games.translate import absolute, no_latent, stacked
from jaxgan.losses import LOSSES, Loss
from jaxgan.nets import discriminator, upscaler
from jaxgan.optim import OPTIMIZERS
from jaxgan.types import Axis, Game, JaxganError, Player


def resized(x, height: int, width: int):
    """Images x [n, h, w, c] in [-1, 1] at another size, by cubic interpolation with antialiasing."""
    return jax.image.resize(x, (len(x), height, width, x.shape[-1]), "cubic").clip(-1, 1)


def smaller(x, factor: int):
    """Images [n, h, w, c] -> [n, h / factor, w / factor, c]."""
    return resized(x, x.shape[1] // factor, x.shape[2] // factor)


def larger(x, factor: int):
    """Images [n, h, w, c] -> [n, factor h, factor w, c], with nothing learned: what upscalers are compared with."""
    return resized(x, factor * x.shape[1], factor * x.shape[2])


def _upscaling(config: Config, game: Game) -> Game:
    """game whose samples are upscaled images, and whose pictures show images enlarged above them."""

    def upscale(run, vars, x):
        return run(vars, "g", x, train=False)[0]

    return game._replace(
        sample=lambda run, vars, z, x: upscale(run, vars, x),
        condition=lambda batch: smaller(batch["x"], config.factor),
        views={**game.views, "upscale": upscale},
        picture=lambda draw, z, x: stacked(8, larger(x, config.factor), draw(z, x)),
    )


def upscale(config: Config, shape, classes: int, axis: Axis) -> Game:
    """G minimises the mean |x - G(x made smaller)|: one player, no D, ESRGAN's first stage.

    Wang et al. 2018, arXiv 1809.00219, section 4.1.
    """
    g = upscaler(config, shape, axis)

    def loss(run, vars, batch, key, hp):
        made, vars = run(vars, "g", smaller(batch["x"], config.factor))
        return absolute(batch["x"], made).mean(), (vars, {})

    def inputs(batch, key):
        return {"g": (smaller(batch["x"], config.factor),)}

    tx = lambda hp: OPTIMIZERS[config.optimizer](hp["g_lr"], hp)  # noqa: E731
    players = {"g": Player(("g",), loss, tx, config.g_steps)}
    return _upscaling(config, Game({"g": g}, players, inputs, lambda *_: None, no_latent, axis=axis, views={}))


def _averaged(loss: Loss) -> Loss:
    """loss as the mean of its real and its generated side, G's times hp.adversarial."""

    def d(real, fake, **numbers):
        return tuple(terms / 2 for terms in loss.d(real, fake, **numbers))

    def g(real, fake, adversarial, **numbers):
        return tuple(adversarial / 2 * terms for terms in loss.g(real, fake, **numbers))

    return loss._replace(d=d, g=g, g_hp=(*loss.g_hp, "adversarial"))


def _made_smaller(config: Config, classes: int, axis: Axis, latent: Callable) -> Callable:
    """`observer` of an update in which G upscales each real example, made smaller."""

    def sides(run, vars, batch, key, hp, pooled):
        x = batch["x"]
        made, vars = run(vars, "g", smaller(x, config.factor))
        return shown(batch, (x, None), (made, None), latent(key, len(x))), vars

    return sides


def esrgan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """D tells images from upscaled ones; G also pays for pixels and for features: Wang et al. 2018, arXiv 1809.00219.

    G minimises hp.pixel |x - G| + hp.perceptual |phi(x) - phi(G)| + hp.adversarial times its adversarial loss, means
    all, phi the last convolution of config.perceptual_net before its rectifier; the paper's is VGG19's conv5_4. Losses
    are means of their real and generated side; the paper's is ragan. Its second stage starts from `upscale` by init.
    """
    nets = {"g": upscaler(config, shape, axis), "d": discriminator(config, shape, 0, axis)}
    _check(config, shape)
    g_terms = {
        "pixel": Term(lambda play, vars: (absolute(play.real.x, play.fake.x), vars)),
        "perceptual": Term(lambda play, vars: (_features_apart(play), vars)),
    }
    parts = Parts(_averaged(LOSSES[config.loss]), nets, no_latent, _made_smaller)
    game = adversarial(config, shape, 0, axis, g_terms=active(config, g_terms), parts=parts)

    def inputs(batch, key):
        return game.inputs(batch, key) | {"g": (smaller(batch["x"], config.factor),)}

    return _upscaling(config, game._replace(inputs=inputs))


def _check(config: Config, shape) -> None:
    """JaxganError for a perceptual network that images are too small for, or that nothing reads."""
    name, usual = config.perceptual_net, Config.perceptual_net
    if not config.hp.on("perceptual"):
        if name != usual:
            raise JaxganError(f"perceptual_net is {name!r}, but hp.perceptual is 0; leave it at {usual!r}")
    elif min(shape[:2]) < PERCEPTUAL[name].least or shape[2] not in (1, 3):
        raise JaxganError(
            f"perceptual_net {name!r} sees grey or RGB of {PERCEPTUAL[name].least} pixels or more, and examples have "
            f"shape {tuple(shape)}; set hp.perceptual to 0{', or take digits-cnn or random' * (shape[2] in (1, 3))}"
        )


def _features_apart(play: Play):
    """Mean |phi(x) - phi(G)| of each example."""
    name = play.config.perceptual_net
    try:
        real, fake = maps(name, play.real.x, play.fake.x)
    except JaxganError as e:
        raise JaxganError(
            f"kind 'esrgan' compares features of {name}: {e}. Here these are --perceptual-net digits-cnn and the like; "
            "--hp.perceptual 0 compares none"
        ) from e
    return absolute(jax.lax.stop_gradient(real), fake)
