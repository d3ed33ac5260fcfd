"""How two sets of examples are compared: which metrics, whose features, how many; what real ones give is kept on disk.

A set is what metrics read of it (metrics.READS): {"features": [n, d], "logits": [n, k], "images": uint8 [n, h, w, c],
"labels": [n]}, and more of runs that translate (translations.sets).
"""

import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgan import disk, features, rng
from jaxgan.config import Eval
from jaxgan.data.cache import user_cache, writable
from jaxgan.errors import JaxganError, nearest
from jaxgan.features import Extractor, extractor
from jaxgan.metrics import ALIKE, METRICS, READS, Score, jackknife
from jaxgan.types import Density, Source

Set = dict[str, np.ndarray]

RAW = "raw"  # features: the examples themselves, flattened
PART = 512  # examples that are held as pixels at a time
MOST = 10_000  # generated examples, unless more are asked for
REAL = 100_000  # real examples that are compared with, drawn where there are more
USUAL = ("fid", "kid", "prdc")
# data: features and metrics where none are named
NATURAL = {
    "mnist5k": ("digits-cnn", USUAL),
    "tfds:mnist": ("digits-cnn", USUAL),
    "tfds:fashion_mnist": ("fashion-cnn", USUAL),
    "mnist5k_outlines": ("digits-cnn", USUAL),
    "stacked": ("digits-cnn/stacked", ("stacked-mnist", "fid")),
}
ELSE = "inception-2015/clean"
WITHIN = dict.fromkeys(("precision", "recall", "density", "coverage"), "prdc") | {"fd": "fid"}  # metrics of numbers
LEAST = 100  # generated examples of which a jackknife is made
JACKKNIFED = {"fid", "fid-diagonal", "fid-mean", "cmmd", "mind", "vendi"}  # those that find no error by themselves


class Protocol(NamedTuple):
    """metrics: names of metrics.METRICS; features: of features.FEATURES, or RAW; n: generated examples.

    weights: where those of the features lie, "" where they usually do.
    """

    metrics: tuple[str, ...]
    features: str
    n: int
    weights: str = ""


def complete(e: Eval, source: Source, weights: str = "") -> Protocol:
    """e with what suits the data in place of what it leaves out; JaxganError for a name that is not known."""
    image, modes = len(source.shape) == 3, source.density is not None and source.density.modes is not None
    prefix = next((name for name in NATURAL if source.name == name or source.name.startswith(f"{name}:")), "")
    suits, usual = NATURAL.get(prefix, (ELSE if image else RAW, ("modes",) if modes else USUAL))
    p = Protocol(e.metrics or usual, e.features or suits, e.n or min(source.size or MOST, MOST), str(weights))
    if modes and not e.n:
        p = p._replace(n=2500)  # PacGAN's, arXiv 1712.04086
    for name in p.metrics:
        if name not in METRICS:
            within = f" It is a number of {WITHIN[name]}." if name in WITHIN else nearest(name, METRICS)
            raise JaxganError(f"there is no metric {name!r}.{within} Known: {', '.join(METRICS)}")
    if p.features != RAW:
        features.known(p.features)  # complains of a name that is none
    needs = {key: name for name in p.metrics for key in READS.get(name, "features").split()}
    found = network(p)
    if "logits" in needs and not (found and found.classes):
        raise JaxganError(f"metric {needs['logits']} reads logits, and features {p.features} have none")
    if "stacked-mnist" in p.metrics and p.features != "digits-cnn/stacked":
        raise JaxganError("metric stacked-mnist reads three digits an image: --features digits-cnn/stacked")
    if "labels" in needs and not source.classes:
        raise JaxganError(f"metric {needs['labels']} needs labels, and {source.name} has none")
    if "modes" in p.metrics and not modes:
        raise JaxganError(f"metric modes needs a toy whose modes are known, such as ring8; {source.name} is none")
    if ("images" in needs or found) and not image:
        raise JaxganError(
            f"{needs.get('images', p.features)} is for images, and examples of {source.name} are {source.shape}; take "
            f"--features {RAW}, and metrics of features"
        )
    return p


def reads(p: Protocol) -> set[str]:
    """What p's metrics read of a set."""
    return {key for name in p.metrics for key in READS.get(name, "features").split()}


def network(p: Protocol) -> Extractor | None:
    """The network that p's metrics need, None where they read the examples themselves."""
    return features.known(p.features) if p.features != RAW and reads(p) & {"features", "logits"} else None


def measure(p: Protocol, parts: Iterable[tuple], total: int, what: str) -> Set:
    """The set that p's metrics read of parts (examples [b, ...], labels [b] or None), of which there are `total`."""
    wanted = reads(p) | {"labels"}
    found: dict[str, list] = {key: [] for key in wanted}
    with extractor.progress(total, f"of {what}, {p.features}") as bar:
        for x, y in parts:
            x = np.asarray(x)
            seen = {"images": extractor.to_uint8(x)} if "images" in wanted else {}
            seen |= {"pairs": extractor.to_uint8(x) if x.ndim == 4 else x} if "pairs" in wanted else {}
            if wanted & {"features", "logits"}:
                seen |= _seen(p, x)
            if y is not None:
                seen["labels"] = np.asarray(y)
            for key in wanted & seen.keys():
                found[key].append(seen[key])
            bar.update(len(x))
    return {key: np.concatenate(arrays) for key, arrays in found.items() if arrays}


def _seen(p: Protocol, x: np.ndarray) -> Set:
    if p.features == RAW:
        return {"features": x.reshape(len(x), -1)}
    return extractor.run(features.known(p.features), x, weights=p.weights, bar=False)


def of_source(source: Source, n: int = 0, seed: int = 0) -> tuple[int, Iterator[tuple]]:
    """How many, and parts (examples, labels or None) of n of source's examples, drawn where it has more; 0 is all."""
    index = rows_of(source, n, seed)
    count = len(index)

    def parts():
        keys = rng.examples(rng.root(seed), count)
        for start in range(0, count, PART):
            at = index[start : start + PART]
            batch = source.finish(source.rows(at), keys[start : start + PART])
            yield np.asarray(batch["x"]), np.asarray(batch["y"]) if source.classes else None

    return count, parts()


def rows_of(source: Source, n: int = REAL, seed: int = 0) -> np.ndarray:
    """The numbers of n of source's rows in order, drawn where it has more; 0 is all. For a density, just so many."""
    size = source.size or n or MOST
    if n in (0, size) or n > size:
        return np.arange(size)
    return np.sort(np.random.default_rng(seed).permutation(size)[:n])


def reference(p: Protocol, source: Source, say=print) -> Set:
    """What p's metrics read of the real examples; features of images are kept in the user's cache by their origin."""
    kept = _kept(p, source, say) if network(p) else {}
    rest = p._replace(metrics=tuple(name for name in p.metrics if READS.get(name) == "images"))
    if kept and not rest.metrics:
        return kept
    count, parts = of_source(source, min(source.size, REAL) if source.size else p.n)
    return kept | measure(rest if kept else p, parts, count, "real ones")


def _kept(p: Protocol, source: Source, say) -> Set:
    """Features, labels, and logits if there are some, of the real examples: from the cache, or made and put there."""
    count, parts = of_source(source, REAL)
    used = extractor.checksum(features.known(p.features), p.weights)
    about = {"data": source.fingerprint, "n": count, "features": p.features, "weights": used, "version": 1}
    path = file(p, source)
    found, trouble = _read(path, about)
    if trouble:
        say(f"{path}: {trouble}; making the features of {source.name} anew")
    if found is None:
        found = measure(p._replace(metrics=("intra-fid", "is")), parts, count, "real ones")
        disk.write_arrays(path, about=json.dumps(about), **found)
    return found


def file(p: Protocol, source: Source) -> Path:
    """The file in the user's cache that holds the features of source."""
    words = [source.name, "x".join(map(str, source.shape)), f"n{min(source.size, REAL)}", p.features]
    short = hashlib.sha256(source.name.encode()).hexdigest()[:8]
    return writable(user_cache() / "features") / f"{re.sub('[^A-Za-z0-9.]+', '-', ' '.join(words))[-100:]}-{short}.npz"


def _read(path: Path, about: dict) -> tuple[Set | None, str]:
    """The set in a file that `reference` wrote, and why it cannot be used, "" where it is not there."""
    if not path.exists():
        return None, ""
    try:
        found = disk.arrays(path)
        old = json.loads(str(found.pop("about")))
        changed = [key for key in about if old.get(key) != about[key]]
    except (JaxganError, ValueError, KeyError, AttributeError):
        return None, "damaged"
    return (None, f"{' and '.join(changed)} changed since") if changed else (found, "")


def scores(
    p: Protocol, real: Set, fake: Set, density: Density | None = None, interval: bool = False
) -> tuple[dict[str, Score], list[str]]:
    """{name with protocol: Score} of p's metrics, and what they warn of.

    density: of the real examples, for modes. interval: find the error of all by a jackknife, of ten groups, where a
    metric does not say one itself.
    """
    found: dict[str, Score] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for name in p.metrics:
            score = _score(p, name, real, fake, density, interval)
            found |= {s.name: s for s in (score.values() if isinstance(score, dict) else [score])}
    return found, list(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, UserWarning)))


def _score(p: Protocol, name: str, real: Set, fake: Set, density, interval: bool):
    keys = READS.get(name, "features").split()
    options: dict = {} if keys == ["images"] else {"features": p.features}
    n = len(fake[keys[0]])
    if name == "modes":
        options["density"] = density
    if name == "fid-infinity":
        options["least"] = min(5000, n // 2)
    if name in ALIKE:
        real = _some({key: real[key] for key in keys}, n)
    a, b = (tuple(one.get(key) for key in keys) if keys[1:] else one.get(keys[0]) for one in (real, fake))
    if interval and name in JACKKNIFED and n >= LEAST:
        return jackknife(METRICS[name], a, b, **options)
    return METRICS[name](a, b, **options)


def _some(real: Set, n: int) -> Set:
    """n rows of the set, drawn, or all where there are no more."""
    size = len(next(iter(real.values())))
    if size <= n:
        return real
    index = np.sort(np.random.default_rng(0).permutation(size)[:n])
    return {key: array[index] for key, array in real.items()}
