"""The ladder of GAT and CAT at equal compute, and the width rule of the learning rate at three widths.

    python experiments/ladder.py                  # on digits: trains what is not trained yet; prints the table
    python experiments/ladder.py --data clothes   # Fashion-MNIST; `emoji` by category needs weights of MobileNet V2
    python experiments/ladder.py --plan           # FLOPs a step and steps of each, trains nothing
    python experiments/ladder.py --budget 1e10    # next to nothing, to see that it works

Transformers of six blocks of width 32 on 4x4 patches of an image, told labels: one output; three summed outputs that D
sees together; the same under nested noise (GAT, Hyun et al. 2025, arXiv 2509.24935); each at a scale of its own (CAT,
arXiv 2605.26449). Each trains for as many steps as have BUDGET FLOPs of products, loops counted in full. Then GAT at
widths 16, 32 and 64, the rate times 32 / width or the same for all, each for the steps that the widest can pay. FD is
of samples of the averaged generator against all training images, a few times a run.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import NamedTuple

from jaxgan import Config, Eval, Hp, hlo, log, plan, train
from jaxgan.config import check
from jaxgan.options import Cat, Gat

BATCH, WIDTH, BUDGET = 32, 32, 5e12
WIDEST = f"width {2 * WIDTH}, rule"
RATE = 2e-4 * 768 / WIDTH * (BATCH / 512) ** 0.5  # at WIDTH
GAT = Gat(depth=6, heads=2, levels=3, features=64)
CAT = Cat(depth=6, heads=2, levels=3, features=64, d_depth=6, d_heads=2)


class Images(NamedTuple):
    """What is trained on: shape, classes and number of images, patch size, who compares how many samples, how often."""

    config: dict
    shape: tuple[int, int, int]
    classes: int
    size: int
    patch: int
    features: str
    n: int
    looks: int


DATA = {
    "digits": Images({}, (28, 28, 1), 10, 5_000, 7, "digits-cnn", 5_000, 6),
    "clothes": Images({"data": "tfds:fashion_mnist"}, (28, 28, 1), 10, 60_000, 7, "fashion-cnn", 5_000, 6),
    "emoji": Images({"data": "tfds:emoji", "size": 32}, (32, 32, 3), 9, 1_716, 8, "mobilenet-v2", 1_716, 2),
}


def base(images: Images) -> Config:
    """GAT with its levels under noise; the rate belongs to WIDTH."""
    hp = Hp(g_lr=RATE, d_lr=RATE, base_width=float(WIDTH), b1=0.0, b2=0.99, ar1=0.1, ar2=0.1, clip_gradient=1.0)
    return Config(
        **images.config,
        **{"kind": "gat", "net": "gat", "conditional": True, "width": WIDTH, "latent": 64},
        **{"loss": "rpgan", "augment": ("translation", "cutout"), "reuse": True, "batch": BATCH},
        gat=dataclasses.replace(GAT, patch=images.patch),
        hp=dataclasses.replace(hp, ar_step=0.01, ema_half_life=693.0 * BATCH),
    )


def rungs(images: Images = DATA["digits"]) -> dict[str, Config]:
    """Each setting by what it is called."""
    c = base(images)
    cat = dataclasses.replace(CAT, patch=images.patch)
    hp = lambda **changes: dataclasses.replace(c.hp, **changes)  # noqa: E731
    made = {
        "one output": dataclasses.replace(
            c, kind="conditional", conditional=False, gat=dataclasses.replace(c.gat, levels=1)
        ),
        "summed outputs": dataclasses.replace(c, hp=hp(level_signal=1.0)),
        "noise levels": c,
        "CAT": dataclasses.replace(c, kind="cat", net="cat", gat=Gat(), cat=cat, hp=hp(ar1=1.0, ar2=1.0)),
    }
    made[f"width {WIDTH}"] = c
    for width in (WIDTH // 2, 2 * WIDTH):
        made[f"width {width}, rule"] = dataclasses.replace(c, width=width)
        made[f"width {width}, one rate"] = dataclasses.replace(c, width=width, hp=hp(base_width=0.0))
    return {name: check(one) for name, one in made.items()}


def flops(c: Config, images: Images) -> float:
    """FLOPs of the products of a step."""
    return hlo.multiplied(hlo.of(plan.written(c, images.shape, images.classes, images.size)))


def equal(name: str, images: Images, budget: float) -> Config:
    """A setting for the nearest number of steps that its looks divide."""
    made = rungs(images)
    paid = made[WIDEST if name.startswith("width") else name]
    every = max(1, round(budget / flops(paid, images) / images.looks))
    looks: dict = dict.fromkeys(("sample_every", "eval_every", "checkpoint_every", "log_every"), every) | {"keep": 1}
    looks |= {"eval": Eval(("fid",), images.features, n=images.n)}
    return check(dataclasses.replace(made[name], steps=every * images.looks, **looks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", choices=DATA)
    parser.add_argument("--rungs", nargs="+", default=list(rungs()), choices=rungs())
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=float, default=BUDGET)
    parser.add_argument("--dir", type=Path, default=Path("runs/ladder"), help="runs, by data")
    parser.add_argument("--plan", action="store_true", help="print FLOPs and steps, train nothing")
    args = parser.parse_args()
    images = DATA[args.data]
    configs = {name: equal(name, images, args.budget) for name in args.rungs}
    for name, c in configs.items():
        print(f"{name}: {flops(c, images) / BATCH / 1e9:.2f} GFLOP an image, {c.steps:,} steps of {BATCH}")
    if args.plan:
        return
    print("| setting | width | steps | FD, last | FD, best |\n|---|---|---|---|---|")
    for name, c in configs.items():
        found = []
        for seed in range(args.seeds):
            dir = args.dir / args.data / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
            if int(train.run(dataclasses.replace(c, seed=seed), dir).state.step) < c.steps:
                return  # stopped, and to be gone on with
            found.append([row[key] for row in log.read(dir / "metrics.jsonl") for key in row if key.startswith("fd/")])
        cells = [", ".join(f"{value:.1f}" for value in best) for best in zip(*((fd[-1], min(fd)) for fd in found))]
        print(f"| {name} | {c.width} | {c.steps:,} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
