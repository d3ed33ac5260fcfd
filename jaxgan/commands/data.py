"""`jaxgan data`: prepare a data set from its files, and its features for `jaxgan eval`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxgan.commands.start import start_jax
from jaxgan.config import Size
from jaxgan.errors import JaxganError


def prepare(
    action: Annotated[Literal["prepare"], tyro.conf.Positional],
    name: Annotated[str, tyro.conf.Positional],
    source: Annotated[Path, tyro.conf.arg(name="from")],
    data_dir: str = "",
) -> None:
    """Write a TensorFlow data set (TFDS, array_record) from its original files, without TensorFlow.

    Args:
        action: prepare.
        name: mnist, fashion_mnist, cifar10, cifar100 or emoji.
        source: Folder with the original files; of emoji, the unpacked npm package emoji-datasource-google.
        data_dir: Where prepared data sets live; empty is $TFDS_DATA_DIR, else ~/tensorflow_datasets.
    """
    from jaxgan.data.prepare import prepare

    prepare(name, source, data_dir)


def stats(
    name: Annotated[str, tyro.conf.Positional],
    features: str = "",
    size: Size = 0,
    weights: str = "",
) -> None:
    """Make the features of real examples once, and keep them in the user's cache, where jaxgan eval finds them.

    Args:
        name: Data, such as fashion_mnist, tfds:fashion_mnist:test or folder:PATH.
        features: Network, see jaxgan/features/README.md; empty is what suits the data.
        size: Pixels to which images are resized, or HEIGHTxWIDTH; 0 leaves them.
        weights: File of the network's weights, where they are not where they usually lie.
    """
    start_jax()
    from jaxgan import data, protocol
    from jaxgan.config import Eval
    from jaxgan.data.catalogue import CATALOGUE

    source = data.open_source(f"tfds:{name}" if name in CATALOGUE else name, size=size)
    p = protocol.complete(Eval(("fid",), features), source, weights)
    if p.features == protocol.RAW:
        raise JaxganError(
            f"{source.name} is compared as it is, and there is nothing to make; for images, see --features"
        )
    found = protocol.reference(p, source)["features"]
    print(f"{len(found):,} x {found.shape[1]} features of {source.name} by {p.features} in {protocol.file(p, source)}")
