"""Games with an encoder E, which finds the latents of examples: LRGAN, BiGAN, adversarial and variational autoencoders.

E belongs to G's player. Errors and divergences are sums over an example's entries, one number per example.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import optax

from jaxgan import optim, rng
from jaxgan.config import Config
from jaxgan.games.adversarial import adversarial, usual
from jaxgan.games.norms import normalised, refreshed
from jaxgan.games.sides import shown, source_rows
from jaxgan.games.terms import Side, Sides, Term
from jaxgan.nets import build, encoder, heads, mlp, norm, normalised_rows
from jaxgan.optim import OPTIMIZERS
from jaxgan.types import Axis, Game, JaxganError, Player, Spec


def half_square(a, b):
    """1/2 ||a - b||^2 per row of a and b [n, ...] -> [n]."""
    return 0.5 * ((a - b) ** 2).reshape(len(a), -1).sum(1)


def kl(mean, logvar):
    """KL(N(mean, exp(logvar)) || N(0, 1)) per row of mean and logvar [n, d] -> [n], in nats."""
    return 0.5 * (mean**2 + jnp.exp(logvar) - 1 - logvar).sum(1)


def gaussian_nll(x, mean, sigma):
    """-log N(x; mean, sigma^2) per row of x and mean [n, ...] -> [n], in nats."""
    return half_square(x, mean) / sigma**2 + math.prod(x.shape[1:]) * (0.5 * math.log(2 * math.pi) + jnp.log(sigma))


def posterior(run, vars, x, y, key, axis: Axis):
    """Mean and log variance [n, latent] by E, a draw mean + exp(logvar / 2) e with e normal, and vars."""
    out, vars = run(vars, "e", x, y)
    mean, logvar = jnp.split(out, 2, axis=1)
    noise = rng.normal(rng.stream(key, "posterior"), len(x), mean.shape[1:], axis)
    return mean, logvar, mean + jnp.exp(logvar / 2) * noise, vars


def _with_encoder(game: Game, latent: int, drawn: bool = False) -> Game:
    """game whose runs encode and keep an averaged E; E's first `latent` outputs are the code.

    drawn: codes are drawn, and E's other outputs their log variance.
    """

    def inputs(batch, key):
        y = batch["y"] if game.classes else None
        return {"e": (batch["x"], y), **game.inputs(batch, key)}

    def encode(run, vars, x, y):
        return run(vars, "e", x, y, train=False)[0][:, :latent]

    def posterior(run, vars, x, y):
        mean, logvar = jnp.split(run(vars, "e", x, y, train=False)[0], 2, axis=1)
        return mean, jnp.exp(logvar / 2)

    views = {**game.views, "encode": encode, **({"posterior": posterior} if drawn else {})}
    return game._replace(inputs=inputs, views=views, shown=("g", "e"))


def lrgan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """A GAN whose E regresses the latents of generated examples: Zhu et al. 2017, arXiv 1711.11586, section 3.3.

    G's loss too has hp.reconstruct times 1/2 ||z - E(G(z))||^2.
    """
    example = (jnp.zeros((2, *shape)), jnp.zeros(2, jnp.int32) if classes else None)
    net = encoder(config, shape, classes, axis, config.latent)

    def regress(play, vars):
        z, vars = play.run(vars, "e", play.fake.x, play.fake.y)
        return half_square(play.z, z), vars

    term = Term(regress, lambda *_: {"e": (net, example)})
    return _with_encoder(adversarial(config, shape, classes, axis, g_terms={"reconstruct": term}), config.latent)


def bigan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """D tells (x, E(x)) from (G(z), z): Donahue et al. 2016, arXiv 1605.09782; Dumoulin et al. 2016, arXiv 1606.00704.

    G and E play D's loss with the two sides exchanged. E is deterministic, as in BiGAN. R1 and R2 act on x alone.
    """
    if config.loss == "mmd":
        raise JaxganError("kind 'bigan' exchanges the two sides of a loss, and mmd has none; choose another --loss")
    parts = usual(config, shape, classes, axis)
    nets = {"g": parts.nets["g"], "d": heads.joint(parts.nets["d"])}
    nets["e"] = encoder(config, shape, classes, axis, config.latent)
    d = parts.loss.d
    loss = parts.loss._replace(g=lambda real, fake, **numbers: d(fake, real, **numbers)[::-1], g_hp=parts.loss.d_hp)

    def observer(config, classes, axis, latent):
        def sides(run, vars, batch, key, hp, pooled):
            x = batch["x"]
            n = len(x) * (config.fake_batch or config.batch) // config.batch
            of = source_rows(n, config.batch, config.fake_batch or config.batch)
            y, y_fake = (batch["y"], batch["y"][of]) if classes else (None, None)
            z = latent(rng.stream(key, "z"), n, axis)
            fake, vars = run(vars, "g", z, y_fake)
            code, vars = run(vars, "e", x, y)
            return shown(batch, (x, (y, code)), (fake, (y_fake, z)), z, of), vars

        return sides

    parts = parts._replace(loss=loss, nets=nets, observe=observer)
    game = _with_encoder(adversarial(config, shape, classes, axis, parts=parts), config.latent)

    def inputs(batch, key):
        made = game.inputs(batch, key)
        (x, y), (z, _) = made["d"], made["g"]
        return made | {"d": (x, (y, z))}

    def score(run, vars, x, y):
        code, _ = run(vars, "e", x, y, train=False)
        return run(vars, "d", x, (y, code))[0]

    return game._replace(inputs=inputs, views={**game.views, "score": score})


def aae(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Adversarial autoencoder: D tells draws of the prior from codes E(x); Makhzani et al. 2015, arXiv 1511.05644.

    G and E also pay hp.reconstruct times 1/2 ||x - G(E(x))||^2. With labels, E and G know them and D does not.
    """
    parts = usual(config, shape, classes, axis)
    of_codes = dataclasses.replace(config, net="mlp", width=heads.HIDDEN, depth=2)
    d = mlp.discriminator(of_codes, Spec((config.latent,), axis=axis, norm=norm(of_codes, "d")))
    nets = {"g": parts.nets["g"], "d": d}
    nets["e"] = encoder(config, shape, classes, axis, config.latent)

    def observer(config, classes, axis, latent):
        def sides(run, vars, batch, key, hp, pooled):
            x, y = batch["x"], batch["y"] if classes else None
            z = latent(rng.stream(key, "z"), len(x), axis)
            code, vars = run(vars, "e", x, y)
            return Sides(Side(z, y), Side(code, y), z, x), vars

        return sides

    def reconstruct(play, vars):
        again, vars = play.run(vars, "g", play.fake.x, play.real.y)
        return half_square(play.more, again), vars

    parts = parts._replace(nets=nets, observe=observer)
    g_terms = {"reconstruct": Term(reconstruct)}
    game = _with_encoder(adversarial(config, shape, classes, axis, g_terms=g_terms, parts=parts), config.latent)

    def inputs(batch, key):
        made = game.inputs(batch, key)
        return made | {"d": (made["g"][0], None)}

    return game._replace(inputs=inputs, views={"encode": game.views["encode"]})  # D judges codes


def vaegan(config: Config, shape, classes: int, axis: Axis) -> Game:
    """A variational autoencoder whose error is taken in D's features: Larsen et al. 2015, arXiv 1512.09300.

    Every other generated example is a reconstruction, the rest are drawn from the prior. D's verdict moves G and not E.
    """
    parts = usual(config, shape, classes, axis)
    nets = parts.nets | {"e": encoder(config, shape, classes, axis, 2 * config.latent)}

    def observer(config, classes, axis, latent):
        def sides(run, vars, batch, key, hp, pooled):
            x, y = batch["x"], batch["y"] if classes else None
            mean, logvar, code, vars = posterior(run, vars, x, y, key, axis)
            again, vars = run(vars, "g", code, y)
            odd = rng.places(key, len(x), axis)[:, None] % 2 == 1
            z = jnp.where(odd, jax.lax.stop_gradient(code), latent(rng.stream(key, "z"), len(x), axis))
            fake, vars = run(vars, "g", z, y)
            return shown(batch, (x, y), (fake, y), z, more=(mean, logvar, again)), vars

        return sides

    def reconstruct(play, vars):
        (_, h), vars = play.run(vars, "d", play.see(play.more[2], "real"), play.real.y, features=True)  # seen as x was
        return half_square(play.real.features, h), vars

    g_terms = {"kl": Term(lambda play, vars: (kl(*play.more[:2]), vars))}
    g_terms["reconstruct"] = Term(reconstruct, features=True)
    parts = parts._replace(nets=nets, observe=observer)
    return _with_encoder(adversarial(config, shape, classes, axis, g_terms=g_terms, parts=parts), config.latent, True)


def vae(config: Config, shape, classes: int, axis: Axis) -> Game:
    """Variational autoencoder: Kingma and Welling 2013, arXiv 1312.6114. One player, no D.

    The loss is -log N(x; G(z), hp.sigma^2) + hp.kl KL, in nats; the metric elbo has the bound itself, with hp.kl = 1.
    """
    if not config.hp.sigma:
        raise JaxganError("hp.sigma is 0.0; the decoder of a vae needs a standard deviation above 0")
    latents = usual(config, shape, classes, axis).latent
    nets = normalised(config, {"g": build(config, shape, classes, axis)["g"]}, latents, classes)
    nets["e"] = encoder(config, shape, classes, axis, 2 * config.latent)

    def loss(run, vars, batch, key, hp):
        x, y = batch["x"], batch["y"] if classes else None
        mean, logvar, z, vars = posterior(run, refreshed(config, classes, axis, "g", run, vars, batch), x, y, key, axis)
        again, vars = run(vars, "g", z, y)
        error, divergence = gaussian_nll(x, again, hp["sigma"]), kl(mean, logvar)
        metrics = {"reconstruct": error.mean(), "kl": divergence.mean(), "elbo": -(error + divergence).mean()}
        return metrics["reconstruct"] + hp["kl"] * metrics["kl"], (vars, metrics)

    def inputs(batch, key):
        return {"g": (latents(key, len(batch["x"])), batch["y"] if classes else None)}

    def sample(run, vars, z, y):
        return run(vars, "g", z, y, train=False)[0]

    def tx(hp):
        made = OPTIMIZERS[config.optimizer](hp["g_lr"], hp)
        return optax.chain(made, optim.normalised_rows()) if normalised_rows(config) else made

    players = {"g": Player(("g", "e"), loss, tx, config.g_steps)}
    condition = lambda batch: batch["y"] if classes else None  # noqa: E731
    game = Game(nets, players, inputs, sample, latents, condition, classes=classes, axis=axis, views={})
    return _with_encoder(game, config.latent, True)
