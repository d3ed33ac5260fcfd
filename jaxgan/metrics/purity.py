"""How well a code that was never told of classes tells them apart."""

import numpy as np
from jaxtyping import Integer
from scipy.optimize import linear_sum_assignment

from jaxgan.types import AnyArray


def matched(code: Integer[AnyArray, " n"], y: Integer[AnyArray, " n"]) -> float:
    """Share of examples whose class y is the one matched to their code, for the best one-to-one matching.

    Both are whole numbers from 0. A code that knows nothing of k equal classes scores little above 1 / k.
    """
    table = np.zeros((max(code) + 1, max(y) + 1), int)
    np.add.at(table, (np.asarray(code), np.asarray(y)), 1)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(code))
