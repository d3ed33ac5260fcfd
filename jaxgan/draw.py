"""What `jaxgan sample` draws of a trained run: samples, walks, and reconstructions of real examples."""

import jax
import numpy as np

from jaxgan import plots, rng
from jaxgan.errors import JaxganError
from jaxgan.games.info import values
from jaxgan.train import hold_out, open_source


def drawn(trained, n, seed, labels, truncation, interpolate, traverse, held, ema):
    """Generated examples, their labels or None, and the columns of their picture; arguments as of the command."""
    game = trained.game
    columns = 8 if interpolate or labels else plots.columns(game.classes)
    if traverse >= 0:
        columns = len(values(game.codes, traverse))
    walks, rows = interpolate or traverse >= 0, -(-n // columns)
    turns = np.array(labels or range(game.classes), np.int32)  # a label for each sample, or for each row of a walk
    y = np.resize(turns, rows if walks else n) if len(turns) else None
    if interpolate:
        x = trained.interpolate(rows, columns, seed, y, truncation, ema)
    elif walks:
        x = trained.traverse(traverse, rows, seed, y, ema)
    else:
        x = trained.sample(n, seed, y, truncation, ema, held)
    return x, y.repeat(columns) if walks and y is not None else y, columns


def codes(pairs: tuple[str, ...]) -> dict[int, float]:
    """{0: 3.0} of ("0=3",)."""
    try:
        return {int(name): float(value) for name, value in (pair.split("=") for pair in pairs)}
    except ValueError:
        raise JaxganError(f"--code is {' '.join(pairs)}; expected NUMBER=VALUE, such as --code 0=3 1=-0.5") from None


def reconstructed(trained, rows: int, seed: int, ema: bool):
    """Rows of 8 real examples, each above the row of their reconstructions; labels or None; 8."""
    source, held = hold_out(trained.config, open_source(trained.config))
    source = held or source
    count = min(8 * rows, source.size // 8 * 8 or source.size or 8 * rows)
    index = np.random.default_rng(seed).permutation(source.size)[:count] if source.size else np.zeros(count, int)
    batch = source.finish(source.rows(index), rng.examples(rng.root(seed), count))
    x, y = jax.device_get(batch["x"]), jax.device_get(batch["y"]) if trained.game.classes else None
    again = trained.reconstruct(x, y, ema)

    def rowwise(a, b):
        return np.concatenate([part for at in range(0, count, 8) for part in (a[at : at + 8], b[at : at + 8])])

    return rowwise(x, again), None if y is None else rowwise(y, y), 8
