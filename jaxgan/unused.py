"""Settings that cannot act beside the others: found before a run begins, and refused by name.

Numbers of Hp are watched: a step is traced, and what it does not read is not used. Static fields have a table.
"""

from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from jaxgan.hp import text

# fields of Config that act only beside others: whether they do, and what they need
STATIC = {
    "codes": (lambda c: c.kind == "infogan", "--kind infogan"),
    "loss": (lambda c: c.kind != "conditional" or c.head != "multihinge", "another --head: multihinge's is the loss"),
    "depth": (lambda c: c.net == "mlp", "--net mlp"),
    "latent": (lambda c: c.kind not in ("cyclegan", "stargan"), "a kind whose generator takes latents"),
    "conditional": (lambda c: c.kind != "stargan", "a kind that can do without labels"),
    "cr_augment": (lambda c: c.hp.on("cr") or c.hp.on("cr_fake"), "--hp.cr or --hp.cr-fake"),
    "lazy": (lambda c: c.hp.on("r1") or c.hp.on("r2"), "--hp.r1 or --hp.r2"),
    "lazy_g": (lambda c: c.hp.on("path_length"), "--hp.path-length"),
}


def check(config: Config, read: frozenset[str]) -> None:
    """JaxganError for a setting that is not at its default and is not used; read: numbers of Hp that a step reads."""
    numbers, default = vars(config.hp), Hp()
    for name, value in numbers.items():
        if value != getattr(default, name) and name not in read:
            raise JaxganError(
                f"hp.{name} is {text(value)}, but nothing in this run uses it: not kind {config.kind!r}, loss "
                f"{config.loss!r}, solver {config.solver!r}, optimizer {config.optimizer!r} or what is switched on "
                f"beside them. See --help for what it belongs to, or leave it at {getattr(default, name):g}"
            )
    for name, (acts, needed) in STATIC.items():
        value, usual = getattr(config, name), getattr(Config(), name)
        if config.kind != "own" and value != usual and not acts(config):
            raise JaxganError(f"{name} is {value!r}, but it needs {needed} to act; or leave it at {usual!r}")
