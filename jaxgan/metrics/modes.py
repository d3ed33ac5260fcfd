"""Coverage of modes that are known, and how well a code tells known classes apart."""

import numpy as np
import scipy
from jaxtyping import Float, Integer

from jaxgan.metrics.inception import mode_jsd, mode_kl
from jaxgan.metrics.names import Score, build
from jaxgan.types import AnyArray, Density


def nearest_mode(samples: Float[AnyArray, "n d"], density: Density) -> Integer[np.ndarray, " n"]:
    """The number of the mode that each sample lies nearest to, for inception.mode_kl and mode_jsd."""
    return np.linalg.norm(_offsets(samples, density), axis=-1).argmin(1)


def _offsets(samples, density: Density) -> np.ndarray:
    return np.asarray(samples)[:, None] - np.asarray(density.modes)[None]


def modes(samples: Float[AnyArray, "n d"], density: Density, box: bool = False) -> dict[str, float]:
    """{"modes": modes with a high-quality sample, "high_quality": fraction of such samples}, by PacGAN's protocol.

    Lin et al. 2018, arXiv 1712.04086. A sample is of high quality within 3 standard deviations (a ball) of its nearest
    mode. A perfect sampler in two dimensions scores 0.98889; more means modes that are narrower than the data's. The
    protocol draws 2,500 samples. box is self-cond-GAN's, Liu et al. 2020, arXiv 2006.10728: 50,000 samples, within
    3 standard deviations on each axis, where a perfect sampler scores 0.99461.
    """
    distance = np.linalg.norm(_offsets(samples, density), ord=np.inf if box else 2, axis=-1)
    good = distance.min(1) <= 3 * density.std
    return {"modes": len(np.unique(distance.argmin(1)[good])), "high_quality": float(good.mean())}


def mode_scores(samples: Float[AnyArray, "n d"], density: Density, features: str = "raw") -> dict[str, Score]:
    """{"modes", "high-quality"} by `modes`, and {"mode-kl", "mode-jsd"} of the modes that samples lie nearest to."""
    found, n, k = modes(samples, density), len(samples), len(density.modes)
    nearest, share = nearest_mode(samples, density), found["high_quality"]
    error = (share * (1 - share) / n) ** 0.5
    return {
        "modes": Score(build("modes", features, n, modes=k), float(found["modes"])),
        "high-quality": Score(build("high-quality", features, n, modes=k), share, error),
        "mode-kl": mode_kl(nearest, k, features),
        "mode-jsd": mode_jsd(nearest, k, features),
    }


def matched(code: Integer[AnyArray, " n"], y: Integer[AnyArray, " n"]) -> float:
    """Share of examples whose class y is the one matched to their code, for the best one-to-one matching.

    Both are whole numbers from 0. A code that knows nothing of k equal classes scores little above 1 / k.
    """
    table = np.zeros((max(code) + 1, max(y) + 1), int)
    np.add.at(table, (np.asarray(code), np.asarray(y)), 1)
    return float(table[scipy.optimize.linear_sum_assignment(table, maximize=True)].sum() / len(code))
