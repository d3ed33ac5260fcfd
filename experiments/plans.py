"""What the train steps of the recipes need on TPUs, compiled and not run: the table of experiments/recipes/README.md.

    python experiments/plans.py [--only NAME ...]  # compiles what is not there yet, then writes the table
    python experiments/plans.py --table             # writes the table alone

Needs libtpu, XLA's TPU compiler (pip install -e '.[tpu]'), and no TPU. Each plan is a line of
experiments/results/plans.jsonl; one that is there is not compiled again, so remove the lines of recipes that changed.
XLA is asked for its least effort, which takes half a minute of a CPU core for CIFAR-10's SNGAN in place of two and a
half. Every recipe is compiled for v5e, on 8 chips and on as many of 256 as divide its batch, GAT's sizes for v6e too.
Where it does not fit in 16 GB it is compiled for v5p as well, for its true size, and then for v5e with
what may help, in this order, until it fits: --remat, --precision bfloat16, both, and both with half the batch, a
quarter and so on, which for R3GAN and GAT, whose networks have no batch norm, is as many micro-batches; GAT under
--parallel zero1, as its state alone is large. ESRGAN's second stage needs weights of VGG16 (jaxgan[features]).
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
ROWS, PAGE = HERE / "results/plans.jsonl", HERE / "recipes/README.md"
BEGIN, END = "<!-- python experiments/plans.py -->\n", "<!-- end -->\n"
SIZES = (256, 128, 64, 32, 16, 8)  # chips
TOPOLOGIES = {
    "v5e": dict(zip(SIZES, ("16x16", "8x16", "8x8", "4x8", "4x4", "2x4"))),
    "v5p": dict(zip(SIZES, ("4x8x8", "4x4x8", "4x4x4", "2x4x4", "2x2x4", "2x2x2"))),
}
TOPOLOGIES["v6e"] = TOPOLOGIES["v5e"]
# recipe: shape of its examples, classes
RECIPES = {
    "cifar10_sngan": ("32x32x3", 0),
    "cifar10_biggan_diffaugment": ("32x32x3", 10),
    "cifar10_stylegan2_ada": ("32x32x3", 10),
    "cifar10_r3gan": ("32x32x3", 10),
    "stacked_mnist_r3gan": ("32x32x3", 0),
    "celeba64_dcgan": ("64x64x3", 0),
    "ffhq64_r3gan": ("64x64x3", 0),
    "ffhq256_r3gan": ("256x256x3", 0),
    "ffhq1024_stylegan2": ("1024x1024x3", 0),
    "celebahq1024_progan": ("1024x1024x3", 0),
    "imagenet64_r3gan": ("64x64x3", 1000),
    "imagenet128_biggan": ("128x128x3", 1000),
    "imagenet128_sagan": ("128x128x3", 1000),
    "facades_pix2pix": ("256x256x6", 0),
    "horse2zebra_cyclegan": ("256x256x6", 0),
    "edges2shoes_bicyclegan": ("256x256x6", 0),
    "celeba128_stargan": ("128x128x3", 5),
    "df2k_esrgan_l1": ("128x128x3", 0),
    "df2k_esrgan": ("128x128x3", 0),
    **{f"imagenet256_gat {size}": ("32x32x4", 1000) for size in ("S/2", "B/2", "L/2", "XL/2")},
}
GAT = tuple(name for name in RECIPES if name.startswith("imagenet256_gat"))
LATENTS = {"space": "", "size": 0}  # for shapes that are of latents already
# what a recipe's sizes change, the space aside, whose weights are not here
SETTINGS: dict[str, dict] = {
    "S/2": {**LATENTS, "width": 384, "gat.depth": 12, "gat.heads": 0},
    "B/2": {**LATENTS, "width": 768, "gat.depth": 12, "gat.heads": 0},
    "L/2": {**LATENTS, "width": 1024, "gat.depth": 24, "gat.heads": 0},
    "XL/2": LATENTS,
}
EFFORT = -1.0  # of XLA's optimisation of time, the least
HALF: dict = {"precision": "bfloat16"}
REMEDIES: tuple[dict, ...] = ({"remat": True}, HALF, {"remat": True, **HALF})
GB = 2**30
LIMITS = {"v5e": 15.75, "v6e": 31.25, "v5p": 95}  # GB of a chip that XLA leaves to a program
HEAD = """| recipe | batch | chips | GFLOP | fill | all-reduces | GB | fits |
|---|---|---|---|---|---|---|---|"""


def recipe(name: str):
    """The configuration of a recipe, as published, and of one of its sizes where the name has one."""
    from jaxgan.experiment import experiment
    from jaxgan.fields import replaced

    file, _, size = name.partition(" ")
    return replaced(experiment(HERE / "recipes" / f"{file}.py")[0], SETTINGS.get(size, {}))


def whole(batch: int) -> int:
    """The batch, or what is nearest below it and can be split over 8 chips; as many on each where it is smaller."""
    return batch // 8 * 8 or 8 * batch


def most(batch: int) -> int:
    """The largest of SIZES that divides the batch; 8 where that is smaller."""
    return 8 if batch < 8 else next(n for n in SIZES if whole(batch) % n == 0)


def make(name: str, kind: str, chips: int, changes: dict, effort: float) -> dict:
    """The plan of a recipe with changes to its configuration, on so many chips of a kind; compiles."""
    os.environ["JAX_PLATFORMS"] = "cpu"  # with libtpu installed JAX would look for a TPU
    import jax

    from jaxgan import hlo, plan

    jax.config.update("jax_exec_time_optimization_effort", effort)
    c = recipe(name)
    c = dataclasses.replace(c, **{"batch": whole(c.batch), **changes})
    shape, classes = RECIPES[name]
    source = plan.stand_in(shape, classes, c.flip)
    pool, chip = plan.chips(f"{kind}:{TOPOLOGIES[kind][chips]}")
    compiled = plan.build(c, source, pool)
    row = plan.measure(compiled, c, source, chip, chips)
    if not isinstance(compiled, str):
        text = compiled.as_text() or ""
        row["matrix_fill_256"] = hlo.fill(text, hlo.weights(text), plan.CHIPS["v6e"].unit)
    return row


def read() -> list[dict]:
    """The plans that were made."""
    return [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()] if ROWS.exists() else []


def planned(name: str, kind: str, chips: int, changes: dict | None = None) -> dict:
    """The plan that was kept, or one that is made now, in a process of its own, and kept."""
    changes = changes or {}
    asked = {"recipe": name, "kind": kind, "chips": chips, "changes": changes}
    for row in read():
        if all(row[name] == value for name, value in asked.items()):
            return row
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        row = pool.submit(make, name, kind, chips, changes, EFFORT).result()
    row = {**asked, "effort": EFFORT, **row, "jax": version("jax"), "libtpu": version("libtpu")}
    with ROWS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(*asked.values(), "fits" if row["fits"] else "does not fit", flush=True)
    return row


def search(name: str, chips: int) -> None:
    """The plan of a recipe on v5e; where it does not fit, on v5p too, and with changes until it fits."""
    plain = row = planned(name, "v5e", chips)
    if name in GAT:
        planned(name, "v6e", chips)
    if not row["fits"] and row["used"] < LIMITS["v5p"] * GB:
        planned(name, "v5p", chips)
    base: dict = {"parallel": "zero1"} if name in GAT else {}
    for changes in (base, *(base | one for one in REMEDIES)):
        # smaller numbers at most halve what is needed
        if not row["fits"] and changes and (changes != HALF or plain["used"] < 2 * row["memory"]):
            row = planned(name, "v5e", chips, changes)
    parts = 2
    while not row["fits"] and plain["batch"] // parts >= chips:
        changes = {"accumulate": parts} if name.endswith("r3gan") or name in GAT else {"batch": plain["batch"] // parts}
        row = planned(name, "v5e", chips, base | REMEDIES[-1] | changes)
        parts *= 2


def words(changes: dict) -> str:
    """Changes to a configuration as flags."""
    return " ".join("--remat" if name == "remat" else f"--{name} {value}" for name, value in changes.items())


def line(name: str, chips: int, batch: int, rows: list[dict]) -> str:
    """The line of the table about a recipe on so many chips."""
    other = "" if whole(batch) == batch else f" {'of' if whole(batch) < batch else 'for'} {batch}"
    file, _, size = name.partition(" ")
    first = f"| `{file}`{size and f' {size}'} | {whole(batch)}{other} | {chips} "
    mine = [row for row in rows if (row["recipe"], row["chips"]) == (name, chips)]
    plain = {row["kind"]: row for row in mine if not row["changes"]}
    if "v5e" not in plain:
        return f"{first}| | | | | not compiled |"
    row = plain["v5e"] if plain["v5e"]["fits"] else plain.get("v5p", plain["v5e"])
    changed = [r for r in mine if r["changes"]]
    told = [r for r in changed if r["fits"]] or changed[-1:]  # what helps, or the last that does not
    sizes = [(words(r["changes"]), "" if r["fits"] else "> ", r["used"] / GB) for r in told]
    ways = [f"v5e with `{flags}`: {over}{size:.1f} GB" for flags, over, size in sizes]
    if not row["fits"]:  # XLA tells what its temporaries need
        none = [kind for kind, limit in LIMITS.items() if row["used"] > limit * GB or kind in plain]
        never = ", ".join(none)
        rest = [f"{', '.join(k for k in LIMITS if k not in none)} not compiled"] * (len(none) < len(LIMITS))
        return f"{first}| | | | > {row['used'] / GB:.1f} | {'; '.join(['not ' + never, *rest, *ways])} |"
    fits = [kind for kind, limit in LIMITS.items() if plain.get(kind, {"fits": row["used"] <= limit * GB})["fits"]]
    large = plain.get("v6e", {}).get("matrix_fill") or row["matrix_fill_256"]
    fill = f"{100 * row['matrix_fill']:.0f}, {100 * large:.0f} %"
    counts = f"{row['flops'] / 1e9:,.0f} | {fill} | {row['all_reduces']}, {row['all_reduce_bytes'] / 2**20:,.0f} MB"
    return f"{first}| {counts} | {row['used'] / GB:.2f} | {'; '.join([', '.join(fits), *ways])} |"


def table() -> str:
    """The table of all plans that were made."""
    rows, lines = read(), [HEAD]
    for name in RECIPES:
        batch = recipe(name).batch
        lines += [line(name, chips, batch, rows) for chips in sorted({8, most(batch)})]
    return "\n".join(lines) + "\n"


def write() -> None:
    """The table on its page."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], "utf-8")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    p.add_argument("--table", action="store_true", help="write the table of the plans that are there")
    a = p.parse_args()
    for pick in () if a.table else (min, max):  # the plans on 8 chips first
        for name in a.only:
            search(name, pick(8, most(recipe(name).batch)))
            write()
    write()


if __name__ == "__main__":
    main()
