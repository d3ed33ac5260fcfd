"""Probabilities that rise while D is too sure of real examples: ADA's and APA's, among the vars of D's player.

ADA augments what D sees with such a probability, Karras et al. 2020, arXiv 2006.06676, section 3.1; APA shows D
generated examples as real ones, Jiang et al. 2021, arXiv 2111.06849. Every EVERY-th update of D a probability goes one
step towards that at which the mean sign of D's logits of real examples, over these updates, is the target.
"""

import jax
import jax.numpy as jnp

from jaxgan import augment, rng
from jaxgan.config import Config
from jaxgan.games.terms import CLOCK, Play, Sides, memory, updates
from jaxgan.losses import LOSSES
from jaxgan.step import over_devices
from jaxgan.types import Axis, JaxganError

EVERY = 4  # updates of D, as in both papers
COLUMNS = {"ada": "augment_p", "apa": "pseudo_p"}  # metrics


def controlled(config: Config) -> list[str]:
    """Names of the probabilities that have a target, and something to act on."""
    acts = {"ada": bool(augment.groups(config.augment)), "apa": True}
    return [name for name in COLUMNS if acts[name] and config.hp.on(f"{name}_target")]


def nets(config: Config) -> dict:
    """{name: (Net, example inputs)}: where each probability is, the signs since it moved; and D's clock, if needed."""
    found = {name: (memory(p=0.0, signs=0.0), ()) for name in controlled(config)}
    lazy = config.lazy > 1 and not config.lazy_steps
    return found | (CLOCK if found or lazy or config.hp.on("noise") else {})


def check(config: Config) -> None:
    """JaxganError if a probability has no value, or nothing that could move it."""
    groups = augment.groups(config.augment)
    if groups and not (config.hp.on("augment_p") or config.hp.on("ada_target")):
        raise JaxganError(
            f"augment has {', '.join(groups)}, which act with probability hp.augment_p, and that is 0; set it to 0.2, "
            "say, or hp.ada_target to 0.6, which finds it"
        )
    loss = LOSSES[config.loss]
    for name in controlled(config):
        if loss.paired or loss.gathers:
            raise JaxganError(
                f"hp.{name}_target is a mean sign of D's logits, which says nothing under loss {config.loss!r}: it "
                "compares logits, and any number may be added to all; take ns or hinge, or leave the target at 0"
            )
    if config.hp.on("apa_target") and config.fake_batch not in (0, config.batch):
        raise JaxganError(
            f"hp.apa_target shows generated examples in place of real ones, so it needs as many of each; got batch="
            f"{config.batch} and fake_batch={config.fake_batch}. Leave fake_batch at 0"
        )


def probability(config: Config, name: str, vars, hp: dict):
    """The probability as an update with these vars begins: one step on if EVERY updates were pooled since the last.

    It moves here and not as an update ends, so that an update stores only means, which micro-batches can average.
    """
    old, done = vars[name], updates(vars)
    step = EVERY * config.batch / hp["ada_images"]
    new = old["p"] + step * jnp.sign(old["signs"] / EVERY - hp[f"{name}_target"])
    return jnp.where((done > 0) & (done % EVERY == 0), jnp.clip(new, 0, 1), old["p"])


def strength(config: Config, vars, hp: dict) -> dict:
    """How often augmentations act, as augment.apply takes it."""
    groups = augment.groups(config.augment)
    shares = {"flip_p": ("flip",), "color_p": augment.COLORS}
    acting = [name for name, of in shares.items() if config.hp.on(name) and {*of} & {*config.augment}]
    found = {name: hp[name] for name in acting}
    if groups:
        found["p"] = probability(config, "ada", vars, hp) if "ada" in controlled(config) else hp["augment_p"]
    return found | ({"color": hp["augment_color"]} if "color" in groups else {})


def counted(play: Play, vars):
    """vars after an update of D, which are one update on, and metrics: mean logits, and of what is controlled."""
    metrics = {"d_real": play.real.logits.mean(), "d_fake": play.fake.logits.mean()}
    if "clock" in nets(play.config):
        vars = {**vars, "clock": {"updates": updates(play.vars) + 1}}
    if names := controlled(play.config):
        metrics["d_sign"] = over_devices(jnp.sign(jax.lax.stop_gradient(play.real.logits)).mean(), play.axis)
    for name in names:
        p = metrics[COLUMNS[name]] = probability(play.config, name, play.vars, play.hp)
        signs = jnp.where(updates(play.vars) % EVERY == 0, 0, play.vars[name]["signs"]) + metrics["d_sign"]
        vars = {**vars, name: {"p": p, "signs": signs}}
    return vars, metrics


def deceived(config: Config, sides: Sides, before, key, hp: dict, axis: Axis) -> Sides:
    """sides in which each real example is, with the probability of APA, the generated one of its row.

    With what D is told beside that. R1 and the mean sign see the mixture, as the authors' do. These keep the examples
    of G's last update for it; here they are the update's own, which cost nothing: D may meet one image on both sides,
    and a loss that judges each by itself has the same gradient in expectation.
    """
    if not config.hp.on("apa_target"):
        return sides
    coins = jax.vmap(jax.random.uniform)(rng.examples(rng.stream(key, "apa"), len(sides.real.x), axis))
    false = coins < probability(config, "apa", before, hp)

    def mixed(real, fake):
        return jnp.where(false.reshape(-1, *[1] * (real.ndim - 1)), jax.lax.stop_gradient(fake), real)

    x, y = jax.tree.map(mixed, (sides.real.x, sides.real.y), (sides.fake.x, sides.fake.y))
    return sides._replace(real=sides.real._replace(x=x, y=y))
