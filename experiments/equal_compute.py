"""DCGAN, SNGAN, StyleGAN2, R3GAN and GAT on Fashion-MNIST at equal compute: how good after how many images?

    jaxgan data prepare fashion_mnist --from /usr/share/datasets/fashion-mnist
    python experiments/equal_compute.py                  # trains what is not trained yet; the figure and the table
    python experiments/equal_compute.py --plan           # FLOPs a step, steps and images of each, trains nothing

Each network is as narrow as its recipe (`recipes/`), with that one's loss, penalties, rates and batch, at 28 pixels and
without labels; schedules are stretched over the run. Each trains for as many steps as have BUDGET FLOPs, by XLA's count
of a step before it is optimised, with plain convolutions, so that the number of steps does not depend on the machine;
R1 as a step of its own counts by how often it comes. FD is by the clothes' classifier, of 5,000 samples of the averaged
generator against all training images, LOOKS times a run. Three quarters of an hour of one CPU core a seed.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from jaxgan import Config, Eval, Hp, hlo, log, plan, plots, train
from jaxgan.config import check
from jaxgan.experiment import experiment
from jaxgan.run import load

HERE = Path(__file__).parent
# network: its recipe, and what is other here
NETS: dict[str, tuple[str, dict]] = {
    "DCGAN": ("celeba64_dcgan", {"width": 32, "latent": 64, "batch": 64}),
    "SNGAN": ("mnist_sngan", {}),
    "StyleGAN2": ("fashion_stylegan2", {}),
    "R3GAN": ("mnist_r3gan", {}),
    "GAT": ("mnist_gat", {"kind": "gat", "conditional": False}),
}
BUDGET, LOOKS = 6e12, 10
FD = "fd/fashion-cnn/n5000/real60000/ddof1"
SHAPE, SIZE = (28, 28, 1), 60_000


def chosen(net: str) -> tuple[Config, Config]:
    """A network's recipe, and the same on clothes."""
    name, others = NETS[net]
    recipe = check(experiment(HERE / "recipes" / f"{name}.py")[0])
    clothes = {"kind": "plain", "data": "tfds:fashion_mnist", "size": 0}
    return recipe, check(dataclasses.replace(recipe, **{**clothes, **others}))


def count(c: Config) -> float:
    """FLOPs of a step, with all penalties that some steps have."""
    return hlo.flops(plan.written(c, SHAPE, 0, SIZE))


def flops(c: Config) -> float:
    """FLOPs of a step, the mean over those with penalties and those without."""
    if c.lazy == 1:
        return count(c)
    without = dataclasses.replace(c, lazy=1, lazy_steps=False, hp=dataclasses.replace(c.hp, r1=0.0, r2=0.0))
    rest = count(without)
    return rest + (count(c) - rest) / c.lazy


def equal(net: str, seed: int = 0, budget: float = BUDGET) -> Config:
    """A network on clothes for the nearest number of steps that LOOKS divides."""
    recipe, c = chosen(net)
    every = max(1, round(budget / flops(c) / LOOKS))
    steps = every * LOOKS
    longer = steps * c.batch / (recipe.steps * recipe.batch)
    looks: dict = dict.fromkeys(("sample_every", "eval_every", "checkpoint_every", "log_every"), every) | {"keep": 1}
    hp = stretched(c.hp, longer)
    return check(dataclasses.replace(c, seed=seed, steps=steps, **looks, eval=Eval(("fid",), n=5000), hp=hp))


def stretched(hp: Hp, times: float) -> Hp:
    """Numbers whose schedules last so many times as many images."""
    schedules = {name: value for name, value in vars(hp).items() if isinstance(value, tuple)}
    longer = {name: tuple(p._replace(images=p.images * times) for p in value) for name, value in schedules.items()}
    return dataclasses.replace(hp, **longer)


def curve(dir: Path, c: Config) -> tuple[np.ndarray, np.ndarray]:
    """Images seen and FD, at each look at a run."""
    rows = [row for row in log.read(dir / "metrics.jsonl") if FD in row]
    return np.array([row["step"] * c.batch for row in rows]), np.array([row[FD] for row in rows])


def draw(found: dict[str, list], pictures: dict[str, np.ndarray]):
    """FD against images seen and against FLOPs; below, samples of seed 0 of each network."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), dpi=80, layout="constrained")
    cells = figure.add_gridspec(2, 2 * len(pictures), height_ratios=(3, 2))
    for i, label in enumerate(("images seen", "TFLOP")):
        axes = figure.add_subplot(cells[0, i * len(pictures) : (i + 1) * len(pictures)])
        for j, (net, curves) in enumerate(found.items()):
            for k, (images, fd) in enumerate(curves):
                x = BUDGET / 1e12 * images / images[-1] if i else images
                axes.plot(x, fd, color=f"C{j}", marker=".", label=None if k else net)
        axes.set(xlabel=label, ylabel="FD, fashion-cnn", yscale="log", xscale="linear" if i else "log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.grid(alpha=0.3, which="both")
    axes.legend()
    for i, (net, x) in enumerate(pictures.items()):
        axes = figure.add_subplot(cells[1, 2 * i : 2 * i + 2])
        axes.imshow(plots.grid(x, 6))
        axes.set_title(net, fontsize=10)
        axes.axis("off")
    return figure


def row(net: str, c: Config, curves: list) -> str:
    """The line of the table about a network: its steps and images, and FD, at the end and the best."""
    last, best = np.array([fd[-1] for _, fd in curves]), np.array([fd.min() for _, fd in curves])
    cells = [", ".join(f"{value:.1f}" for value in values) for values in (last, best)]
    return f"| {net} | {c.loss} | {c.batch} | {c.steps:,} | {c.steps * c.batch:,} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=NETS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--dir", type=Path, default=Path("runs/equal_compute"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "equal_compute.png")
    parser.add_argument("--plan", action="store_true", help="print FLOPs, steps and images, train nothing")
    args = parser.parse_args()
    configs = {net: equal(net) for net in args.nets}
    for net, c in configs.items():
        spent = flops(c)
        print(f"{net}: {spent / 1e9:.2f} GFLOP x {c.steps:,} = {spent * c.steps / 1e12:.2f} TFLOP, batch {c.batch}")
    if args.plan:
        return
    found: dict[str, list] = {}
    for seed in range(args.seeds):
        for net in args.nets:
            dir, c = args.dir / f"{net}-{seed}", dataclasses.replace(configs[net], seed=seed)
            if int(train.run(c, dir).state.step) < c.steps:
                return  # stopped, and to be gone on with
            found.setdefault(net, []).append(curve(dir, c))
    pictures = {net: load(args.dir / f"{net}-0").sample(36, seed=0) for net in args.nets}
    plots.save_figure(draw(found, pictures), args.out)
    print("| network | loss | batch | steps | images | FD, last | FD, best |\n|---|---|---|---|---|---|---|")
    print("\n".join(row(net, configs[net], curves) for net, curves in found.items()))


if __name__ == "__main__":
    main()
