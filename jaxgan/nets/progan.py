"""ProGAN: networks that grow from 4 pixels, a stage for each doubling (Karras et al. 2017, arXiv 1710.10196).

Each new stage first fades in and then stays alone for as many images. All parameters are there from the start; those of
stages to come get no gradient and do not move. Images always have their last size: those of early stages are made of
larger squares, as in the authors' code.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.config import Config
from jaxgan.convolution import convolved
from jaxgan.nets import equalised
from jaxgan.nets.equalised import Dense, spread, weight
from jaxgan.nets.layers import matched, narrowed, one_hot, per_channel, widened
from jaxgan.nets.norms import unit_square
from jaxgan.nets.resnet import doubled, pooled
from jaxgan.nets.sizes import squares
from jaxgan.types import JaxganError, Net, Spec

NORM = {"g": "none", "d": "none"}  # of this architecture
BASE = 4  # pixels of the first stage
GROUP = 4  # examples whose deviation D sees
HE = math.sqrt(2)  # gain before a leaky ReLU


def leaky(x: jax.Array) -> jax.Array:
    """Leaky ReLU of slope 0.2."""
    return nn.leaky_relu(x, 0.2)


def normal(x: jax.Array) -> jax.Array:
    """Leaky ReLU, then pixel norm."""
    return unit_square(leaky(x))


class Conv(nn.Module):
    """Convolution of odd size and equalised rate, with a bias: [b, h, w, cin] -> [b, h, w, features]."""

    features: int
    size: int = 3
    gain: float = HE

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = matched(self.gain * weight(self, self.size, x.shape[-1], self.features), x)
        x = x @ kernel[0, 0] if self.size == 1 else convolved(x, kernel)
        return x + per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), x)


class First(nn.Module):
    """z [b, n] (one-hot labels beside it) -> [b, 4, 4, features]."""

    features: int

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        x = Dense(BASE * BASE * self.features, bias=None, gain=HE / 4)(unit_square(z))
        x = x.reshape(-1, BASE, BASE, self.features)
        x = normal(x + per_channel(self.param("bias", nn.initializers.zeros, (self.features,)), x))
        return normal(Conv(self.features)(x))


class Up(nn.Module):
    """[b, h, w, cin] -> [b, 2h, 2w, features]."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return normal(Conv(self.features)(normal(Conv(self.features)(doubled(x)))))


class Down(nn.Module):
    """[b, 2h, 2w, cin] -> [b, h, w, features]."""

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return pooled(leaky(Conv(self.features)(leaky(Conv(x.shape[-1])(x)))))


class Last(nn.Module):
    """[b, 4, 4, c], y int [b] or None -> D's logits [b] (or outputs), and its features [b, c]."""

    classes: int
    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array, y: jax.Array | None):
        width = x.shape[-1]
        x = leaky(Conv(width)(spread(x, GROUP)))
        h = leaky(Dense(width, gain=HE)(x.reshape(x.shape[0], -1)))
        told = one_hot(y, self.classes) if self.classes else None
        if self.outputs:
            return Dense(self.outputs)(h if told is None else jnp.concatenate([h, told], -1)), h
        logit = Dense(1)(h)[:, 0]
        if told is not None:
            logit += (h * Dense(width, bias=None)(told)).sum(-1) / math.sqrt(width)
        return logit, h


def growth(step, stages: int, steps: int):
    """The stage that acts after so many steps, from 0, and how far it has faded in, from 0 to 1; steps of a phase."""
    stage = jnp.minimum((step // steps + 1) // 2, stages - 1)
    return stage, jnp.where(stage == 0, 1.0, jnp.clip(step / steps - (2 * stage - 1), 0, 1))


def changes(stages: int, steps: int) -> tuple[int, ...]:
    """The steps at which a stage begins."""
    return tuple(steps * (2 * s - 1) for s in range(1, stages))


def blended(old: jax.Array, new: jax.Array, share: jax.Array) -> jax.Array:
    """From old at 0 to new at 1."""
    return matched(old + share * (new - old), new)


def growing(modules: dict[str, nn.Module], inputs: dict, at, stages: int, config: Config) -> Net:
    """A network whose output is at(run, stage, share, *inputs), run(name, *inputs) being a module's.

    inputs: of each module, for init. vars: {"done": steps trained}, by which it grows where no step is given.
    """
    steps = phase(config)

    def init(key, *_):
        keys = jax.random.split(key, len(modules))
        made = {name: modules[name].init(k, *inputs[name]).get("params", {}) for name, k in zip(modules, keys)}
        return made, {"done": jnp.int32(0)}

    def apply(params, vars, *inputs, train, step=None, **options):
        done = vars["done"] if step is None else step
        stage, share = growth(done, stages, steps)

        def run(name, *x):
            call = lambda own, *x: modules[name].apply({"params": own}, *x)  # noqa: E731
            return (jax.checkpoint(call) if config.remat else call)(params[name], *x)

        branches = [lambda share, *x, s=s: at(run, s, share, *x, **options) for s in range(stages)]
        new = vars if step is None or not train else {"done": jnp.int32(step + 1)}
        return jax.lax.switch(stage, branches, share, *inputs), new

    return Net(init, apply, timed=True)


def generator(config: Config, spec: Spec) -> Net:
    """z [b, latent], y int [b] or None -> x [b, size, size, channels]."""
    wide, channels = widths(config, spec), spec.shape[-1]
    last = len(wide) - 1
    modules: dict[str, nn.Module] = {"block0": First(wide[0])}
    modules |= {f"block{i}": Up(width) for i, width in enumerate(wide) if i}
    modules |= {f"image{i}": Conv(channels, 1, 1.0) for i in range(len(wide))}
    inputs = {"block0": (jnp.zeros((2, config.latent + spec.classes)),)}
    inputs |= {f"block{i}": (jnp.zeros((2, BASE, BASE, wide[i - 1])),) for i in range(1, len(wide))}
    inputs |= {f"image{i}": (jnp.zeros((2, BASE, BASE, width)),) for i, width in enumerate(wide)}

    def at(run, stage, share, z, y):
        x = run("block0", jnp.concatenate([z, one_hot(y, spec.classes)], -1) if spec.classes else z)
        before = x
        for i in range(1, stage + 1):
            before, x = x, run(f"block{i}", narrowed(x, config.precision))
        image = widened(run(f"image{stage}", x))
        image = blended(doubled(widened(run(f"image{stage - 1}", before))), image, share) if stage else image
        for _ in range(last - stage):
            image = doubled(image)
        return image

    return growing(modules, inputs, at, len(wide), config)


def discriminator(config: Config, spec: Spec) -> Net:
    """x [b, size, size, channels], y int [b] or None -> logits [b], or logits and features [b, n] on request."""
    wide, channels = widths(config, spec), spec.shape[-1]
    last, y = len(wide) - 1, jnp.zeros(2, jnp.int32) if spec.classes else None
    modules: dict[str, nn.Module] = {"block0": Last(spec.classes, spec.outputs)}
    modules |= {f"block{i}": Down(wide[i - 1]) for i in range(1, len(wide))}
    modules |= {f"image{i}": Conv(width, 1) for i, width in enumerate(wide)}
    inputs: dict = {f"block{i}": (jnp.zeros((2, BASE, BASE, width)),) for i, width in enumerate(wide)}
    inputs["block0"] = (*inputs["block0"], y)
    inputs |= {f"image{i}": (jnp.zeros((2, BASE, BASE, channels)),) for i in range(len(wide))}

    def at(run, stage, share, x, y, features=False):
        for _ in range(last - stage):
            x = pooled(x)
        x = narrowed(x, config.precision)
        h = leaky(run(f"image{stage}", x))
        if stage:
            h = blended(leaky(run(f"image{stage - 1}", pooled(x))), run(f"block{stage}", h), share)
        for i in range(stage - 1, 0, -1):
            h = run(f"block{i}", h)
        out, h = run("block0", widened(h), y)
        return (out, h) if features else out

    return growing(modules, inputs, at, len(wide), config)


def encoder(config: Config, spec: Spec) -> Net:
    """The discriminator's stages from x to numbers [b, outputs]."""
    return discriminator(config, spec)


def real(config: Config, shape: tuple[int, ...]):
    """(vars of D, x) -> real images as the stage of D has them: of its size, and faded as G's are."""
    wide = widths(config, Spec(shape))
    last = len(wide) - 1

    def seen(vars, x):
        stage, share = growth(vars["done"], len(wide), phase(config))

        def at(s):
            def shrunk(share, x):
                for _ in range(last - s):
                    x = pooled(x)
                x = blended(doubled(pooled(x)), x, share) if s else x
                for _ in range(last - s):
                    x = doubled(x)
                return x

            return shrunk

        return jax.lax.switch(stage, [at(s) for s in range(len(wide))], share, x)

    return seen


def restarts(config: Config, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Steps at which optimizers forget their moments: the changes of stage."""
    return changes(len(widths(config, Spec(shape))), phase(config))


def phase(config: Config) -> int:
    """Steps of a stage that fades in, and of one that is alone."""
    steps = config.progan.phase // config.batch
    if steps < 1:
        raise JaxganError(
            f"progan.phase is {config.progan.phase} images, less than a batch of {config.batch}; make it larger"
        )
    return steps


def widths(config: Config, spec: Spec) -> tuple[int, ...]:
    """Channels at BASE, 2 BASE, ..., size pixels: progan.base / pixels, at most the width."""
    found = squares("progan", spec.shape)
    return equalised.widths("progan", spec, found, config.progan.base, config.width)
