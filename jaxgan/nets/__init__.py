"""Architectures, G and D together; the only package that knows Flax."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan import options
from jaxgan.config import Config
from jaxgan.nets import mlp, patchgan, stargan, unet
from jaxgan.types import Axis, JaxganError, Net, Spec

NETS: dict[str, Any] = {name: import_module(f"jaxgan.nets.{name}") for name in options.NETS}
TRANSLATORS = {
    "mlp": mlp.translator,
    "dcgan": unet.translator,
    "patchgan": patchgan.translator,
    "stargan": stargan.translator,
}


def chosen(config: Config) -> Any:
    """The architecture of a config: functions generator, discriminator, encoder of (config, Spec), and NORM."""
    if config.net not in NETS:
        raise JaxganError("net is 'own', and nothing is there: put an architecture at jaxgan.nets.NETS['own'] first")
    return NETS[config.net]


def norm(config: Config, side: str) -> str:
    """The normalisation of G or D, side "g" or "d"; the architecture's own by its name."""
    asked = getattr(config, f"{side}_norm")
    return chosen(config).NORM[side] if asked == "own" else asked


def build(config: Config, shape: tuple[int, ...], classes: int = 0, axis: Axis = None) -> dict[str, Net]:
    """The generator and the discriminator of a config, {"g": Net, "d": Net}, for examples of this shape.

    Spectral normalisation, and the reference of virtual batch normalisation, are not in them: `spectral` and `virtual`
    stand around what a game makes of them.
    """
    spec = Spec(tuple(shape), classes, axis, norm(config, "g"))
    return {"g": chosen(config).generator(config, spec), "d": discriminator(config, shape, classes, axis)}


def discriminator(config: Config, shape: tuple[int, ...], classes: int = 0, axis: Axis = None) -> Net:
    """The discriminator of a config alone, as in `build`: where what it judges is made by a `translator`."""
    return chosen(config).discriminator(config, Spec(tuple(shape), classes, axis, norm(config, "d")))


def styles(config: Config, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """Layers and size of the styles to which G maps latents, None in architectures that have none.

    Such a G takes the options shift [b, *styles], added to the styles, and psi [b], the truncation of each example;
    with mapped=True its output is the styles.
    """
    made = getattr(chosen(config), "styles", None)
    return made and made(config, tuple(shape))


def images(config: Config) -> int:
    """Images that G makes of one latent, side by side in the last axis with the option levels; 0 where it has no such.

    The last of them is its example.
    """
    made = getattr(chosen(config), "images", None)
    return made(config) if made else 0


def tokens(config: Config, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Rows and columns of patches of which D has tokens, and their numbers; None where it has no such.

    D answers with them, the class token first, where the option tokens stands beside features.
    """
    made = getattr(chosen(config), "tokens", None)
    return made and made(config, tuple(shape))


def folded(config: Config) -> Callable | None:
    """(images [b, h, w, c] of all levels) -> what D at several scales takes; None in architectures that have no such D.

    With the option scales it then answers with a logit of each.
    """
    return getattr(chosen(config), "folded", None)


def real(config: Config, shape: tuple[int, ...]) -> Callable | None:
    """(vars of D, x) -> real examples as networks that grow have them now; None in those that do not grow."""
    made = getattr(chosen(config), "real", None)
    return made and made(config, tuple(shape))


def restarts(config: Config, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Steps before which optimizers begin anew; none in networks that do not grow."""
    made = getattr(chosen(config), "restarts", None)
    return made(config, tuple(shape)) if made else ()


def normalised_rows(config: Config) -> bool:
    """Whether weights of the architecture are `kernels.rows`, to which each step brings them back."""
    return getattr(chosen(config), "NORMALISED_ROWS", False)


def d_layers(config: Config, shape: tuple[int, ...]) -> list[tuple[str, ...]]:
    """The layers of D in the order from the image: names of its parts with a kernel, each with those without after it.

    A block of layers that is one part counts as one.
    """
    names: list[tuple[str, bool]] = []

    def traced():
        params, _ = discriminator(config, shape).init(jax.random.key(0), jnp.zeros((2, *shape)), None)
        names.extend((name, max(jnp.ndim(x) for x in jax.tree.leaves(part)) > 1) for name, part in params.items())

    jax.eval_shape(traced)  # in a trace, Flax's dicts still have the order in which their parts were made
    found: list[tuple[str, ...]] = []
    for name, kernel in names:
        if kernel or not found:
            found.append((name,))
        else:
            found[-1] += (name,)
    return found


def first_layers(config: Config, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the parts of D that config.freeze keeps, () without it; JaxganError for what D does not have."""
    if not config.freeze:
        return ()
    side, _, count = config.freeze.partition(":")
    known = d_layers(config, shape)
    if side != "d" or not count.isdecimal() or not 0 < int(count) < len(known):
        raise JaxganError(
            f"freeze is {config.freeze!r}; expected d:1 to d:{len(known) - 1}, as D has {len(known)} layers, from the "
            f"image on: {', '.join(layer[0] for layer in known)}"
        )
    return tuple(name for layer in known[: int(count)] for name in layer)


def part(path: tuple) -> str:
    """The name in `d_layers` of what a parameter of D belongs to, by its path; those of `heads.beside` lie deeper."""
    names = [str(key.key) for key in path]
    return names[1] if names[0] == "d" else names[0]


def encoder(config: Config, shape: tuple[int, ...], classes: int, axis: Axis, outputs: int) -> Net:
    """The network of a config from examples of this shape, and labels where there are classes, to [b, outputs]."""
    return chosen(config).encoder(config, Spec(tuple(shape), classes, axis, outputs=outputs))


def latents(config: Config, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a latent that G takes and an encoder finds, which kinds have flat: (h, w, c) where it is a map."""
    made = getattr(chosen(config), "latents", None)
    return made(config, tuple(shape)) if made else (config.latent,)


def translator(config: Config, shape: tuple[int, ...], axis: Axis) -> Net:
    """The network of a config from latents and images of this shape to other images: (z [b, n], x [b, *shape])."""
    if config.net not in TRANSLATORS:
        raise JaxganError(
            f"net {config.net!r} translates nothing; use dcgan, patchgan or stargan for images, mlp for points"
        )
    return TRANSLATORS[config.net](config, Spec(tuple(shape), axis=axis, norm=norm(config, "g")))


def upscaler(config: Config, shape: tuple[int, ...], axis: Axis) -> Net:
    """The network of a config from images to images config.factor times as large, as of this shape.

    Of any height and width, when it has been trained.
    """
    made = getattr(chosen(config), "upscaler", None)
    if made is None:
        raise JaxganError(f"net {config.net!r} does not make images of smaller ones; use --net rrdb")
    return made(config, Spec(tuple(shape), axis=axis))
