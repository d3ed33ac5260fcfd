"""How fast each path feeds images: from the device, streamed from the host, and decoded one by one.

    python experiments/benchmarks/data.py --from /usr/share/datasets/fashion-mnist
    python experiments/benchmarks/data.py --data-dir ~/tensorflow_datasets
    python experiments/benchmarks/data.py

Measures Fashion-MNIST, prepared into a temporary folder (--from) or before (--data-dir), else mnist5k. Takes a minute
after preparing and prints a Markdown table: medians of --repeats runs, with the machine. Expect the device and the
stream paths to be far above what a training step consumes, and per-example decoding to be the slow one: that is why
jaxgan decodes a data set once.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import rng
from jaxgan.data import open_source, prepare
from jaxgan.data.catalogue import data_root
from jaxgan.data.stream import find_prepared, open_builder, open_split, stream

SEED = 0


def cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def images_per_second(run, images: int, repeats: int) -> float:
    """The median over runs, after one to compile and warm up."""
    run()
    rates = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        rates.append(images / (time.perf_counter() - start))
    return statistics.median(rates)


def on_device(source, batch: int, steps: int):
    """All rows on the device: a scan of steps that pick and finish a batch, which the next one replaces."""
    table = jax.device_put(source.rows(np.arange(source.size)))
    key = rng.root(SEED)

    @jax.jit
    def run(table):
        def one(last, step):
            index = rng.shuffled(rng.stream(key, "order"), step, rng.positions(batch), batch, source.size)
            rows = jax.tree.map(lambda r: r[index], table)
            return source.finish(rows, rng.examples(jax.random.fold_in(key, step), batch)), None

        start = {"x": jnp.zeros((batch, *source.shape)), "y": jnp.zeros(batch, jnp.int32)}
        return jax.lax.scan(one, start, jnp.arange(steps))[0]

    return lambda: jax.block_until_ready(run(table))


def indices(source, batch: int, steps: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(0, source.size, (steps, batch))


def gathered(source, index, batch: int, batches):
    """Host batches given to a compiled finish."""
    keys = rng.examples(rng.root(SEED), batch)
    finish = jax.jit(source.finish)

    def run():
        for rows in batches(index):
            last = finish(rows, keys)
        jax.block_until_ready(last)

    return run


def host_only(batches, index):
    def run():
        for _ in batches(index):
            pass

    return run


def decoded(data, batch: int, count: int, threads: int):
    """Grain over the TFDS records: every example is read and decoded anew."""
    import grain

    def run():
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=64)
        picked = grain.MapDataset.source(data).seed(SEED).shuffle()[:count]
        for _ in picked.to_iter_dataset(options).map(lambda e: {"x": e["image"], "y": e["label"]}).batch(batch):
            pass

    return run


def measure(source, data, batch: int, steps: int, repeats: int):
    """Rows of the table: path, images per second."""
    index, n = indices(source, batch, steps), batch * steps
    prefetched = lambda i: stream(source, i.__getitem__, range(len(i)))  # noqa: E731
    one_by_one = lambda i: map(source.rows, i)  # noqa: E731
    yield (
        "device: pick and finish inside one compiled scan",
        images_per_second(on_device(source, batch, steps), n, repeats),
    )
    for name, batches in (("no prefetch", one_by_one), ("prefetched by grain (`stream`)", prefetched)):
        rate = images_per_second(gathered(source, index, batch, batches), n, repeats)
        yield f"host: index to gather, {name}, then compiled finish", rate
        yield f"host alone: {name}", images_per_second(host_only(batches, index), n, repeats)
    if data is not None:
        count = min(n, 6400)
        for threads in (1, 4):
            rate = images_per_second(decoded(data, batch, count, threads), count, repeats)
            yield f"grain over TFDS records, decoded one by one, {threads} threads", rate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", default="", help="where fashion_mnist is prepared")
    parser.add_argument("--from", dest="originals", default="", help="prepare it from this folder, for this run only")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, data = open_source("mnist5k"), None
        if args.originals:
            prepare("fashion_mnist", args.originals, folder)
        if args.originals or args.data_dir:
            data_dir = folder if args.originals else args.data_dir
            source = open_source("tfds:fashion_mnist", data_dir=data_dir)
            data = open_split(
                open_builder(find_prepared("fashion_mnist", data_root(data_dir))), "train", "fashion_mnist"
            )
        device = jax.devices()[0].device_kind
        print(f"{source.name}, {source.shape}, batch {args.batch}, medians of {args.repeats} runs")
        print(f"CPU: {cpu_model()}, {os.cpu_count()} cores; device: {device}; jax {jax.__version__}\n")
        print("| path | images/s |\n|---|---|")
        for path, rate in measure(source, data, args.batch, args.steps, args.repeats):
            print(f"| {path} | {rate:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
