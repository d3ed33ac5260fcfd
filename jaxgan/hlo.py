"""What XLA made of a program, read from its text: one instruction a line, in computations that call each other."""

import re
from functools import cache
from math import prod
from typing import Any, cast

import jax
import numpy as np

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2, "s64": 8, "u64": 8, "f64": 8}


def of(lowered: jax.stages.Lowered) -> str:
    """The text of a program as JAX gives it to XLA, before it is compiled."""
    program: Any = lowered.compiler_ir("hlo")
    return program.as_hlo_module().to_string()


def computations(text: str):
    """(name of the computation, instruction) for each instruction of HLO text; the entry's name is ""."""
    here = None
    for line in text.splitlines():
        if head := re.match(r"(ENTRY )?%([\w.\-]+) \(.*\{$", line):
            here = "" if head[1] else head[2]
        elif here is not None and " = " in line:
            yield here, line


def weights(text: str, loops: bool = True) -> dict[str, int]:
    """{computation: how often a step executes it}; loops count once where their length is not told, or not loops.

    That is where XLA notes it, or the condition compares with a constant, as that of a scan does, which begins at 0.
    """
    callers: dict[str, list] = {}
    lengths = limits(text) if loops else {}
    for here, line in computations(text):
        noted = re.search(r'"known_trip_count":\{"n":"(\d+)"', line) if loops else None
        condition = re.search(r"condition=%([\w.\-]+)", line)
        times = int(noted[1]) if noted else lengths.get(condition[1], 1) if condition else 1
        for kind, names in re.findall(
            r"(calls|body|condition|to_apply|branch_computations)=\{?((?:%[\w.\-]+(?:, )?)+)", line
        ):
            for name in re.findall(r"%([\w.\-]+)", names):
                callers.setdefault(name, []).append((here, times if kind == "body" else 1))

    @cache
    def weight(name: str) -> int:
        return 1 if name == "" else sum(n * weight(caller) for caller, n in callers.get(name, []))

    return {name: weight(name) for name in ["", *callers]}


def limits(text: str) -> dict[str, int]:
    """{computation: the constant that it compares a counter with}."""
    constants: dict[str, int] = {}
    found = {}
    for here, line in computations(text):
        if value := re.search(r"(%[\w.\-]+) = s32\[\]\S* constant\((\d+)\)", line):
            constants[here + value[1]] = int(value[2])
        elif limit := re.search(r" compare\(%[\w.\-]+, (%[\w.\-]+)\), direction=LT", line):
            found[here] = constants.get(here + limit[1], 1)
    return found


def cycles(text: str, calls: dict[str, int]) -> int:
    """XLA's estimate of the cycles of all instructions; it has none for communication."""
    found = ((here, re.search(r'"estimated_cycles":"(\d+)"', line)) for here, line in computations(text))
    return sum(calls.get(here, 0) * int(match[1]) for here, match in found if match and int(match[1]) < 2**62)


def all_reduces(text: str, calls: dict[str, int]) -> list[tuple[int, int]]:
    """(how often, bytes) of each all-reduce: one after XLA has merged what may travel together."""
    found = []
    for here, line in computations(text):
        if match := re.search(r" = (.*?) all-reduce(-start)?\(", line):
            sizes = [shape_bytes(s) for s in re.findall(r"\w+\[[\d,]*\]", match[1])]
            found.append((calls[here], sum(sizes) // (2 if match[2] and len(sizes) % 2 == 0 else 1)))
    return found


def products(text: str):
    """(computation, m, n, k, places) of each product [m, k] [k, n]; places: of a kernel that meet the image, a mean."""
    shapes: dict[str, list[int]] = {}
    for here, line in computations(text):
        if not (defined := re.match(r"\s*(?:ROOT )?(%[\w.\-]+) = \w+\[([\d,]*)\]", line)):
            continue
        shapes[here + defined[1]] = [int(n) for n in defined[2].split(",") if n]
        if found := re.search(r" convolution\((%[\w.\-]+), (%[\w.\-]+)\)(.*)dim_labels=(\w+)_(\w+)->(\w+)", line):
            image, kernel, out = (shapes.get(here + name, []) for name in (found[1], found[2], defined[1]))
            k, n = kernel[found[5].index("i")], kernel[found[5].index("o")]
            sizes = zip(*(spatial(*pair) for pair in ((image, found[4]), (kernel, found[5]), (out, found[6]))))
            met = prod(hits(*of, *size) / size[2] for of, size in zip(windows(found[3]), sizes))
            yield here, prod(out) // max(n, 1), n, k, met
        elif found := re.search(r" dot\((%[\w.\-]+), (%[\w.\-]+)\)", line):
            left, right = (shapes.get(here + name, []) for name in found.groups())
            dims = dict(re.findall(r"lhs_(\w+)_dims=\{([\d,]*)\}", line))
            k, each = (prod(left[int(i)] for i in dims.get(of, "").split(",") if i) for of in ("contracting", "batch"))
            yield here, prod(left) // k, prod(right) // (k * each), k, 1.0


def spatial(shape: list[int], labels: str) -> list[int]:
    """Sizes of the dimensions that are labelled 0, 1, ... of a convolution's argument or result."""
    return [size for label, size in sorted(zip(labels, shape)) if label.isdigit()]


def windows(text: str) -> list[tuple[int, ...]]:
    """Stride, padding before, and distances between the image's and the kernel's places, of each spatial dimension."""
    given = {name: part.split("x") for name, part in re.findall(r"(\w+)=([\dx_\-]+)", text)}
    columns = [given.get(name, []) for name in ("stride", "pad", "lhs_dilate", "rhs_dilate")]
    usual = 1, 0, 1, 1
    return [
        tuple(int(column[i].partition("_")[0]) if column else one for column, one in zip(columns, usual))
        for i in range(len(given.get("size", [])))
    ]


def hits(stride: int, before: int, apart: int, reach: int, image: int, kernel: int, out: int) -> int:
    """How often a kernel in all its positions along one dimension meets a place of the image that is not padding."""
    at = np.arange(out)[:, None] * stride + np.arange(kernel)[None] * reach - before
    return int(((at >= 0) & (at <= (image - 1) * apart) & (at % apart == 0)).sum())


def multiplied(text: str) -> float:
    """FLOPs of all products, as often as they are made."""
    calls = weights(text)
    return sum(2.0 * calls.get(at, 0) * m * n * k * places for at, m, n, k, places in products(text))


def looped(text: str, calls: dict[str, int]) -> float:
    """FLOPs of products in loops beyond those of one pass through each, which is what XLA counts."""
    once = weights(text, loops=False)
    return sum(
        2.0 * (calls.get(at, 0) - once.get(at, 0)) * m * n * k * places for at, m, n, k, places in products(text)
    )


def flops(lowered: jax.stages.Lowered) -> float:
    """XLA's count of a program that is not compiled, and products of loops as often as they are made."""
    text, cost = of(lowered), cast(dict, lowered.cost_analysis())
    return cost["flops"] + looped(text, weights(text))


def fill(text: str, calls: dict[str, int], unit: int) -> float:
    """Useful share of the matrix units' work if each product fills its contracted and its output features up to unit.

    Matrix units are unit x unit multipliers that hold a [contracted, output] block of weights. XLA may pack more than
    features into a block, and may exchange the sides of a product: the better exchange is taken. 0 without products.
    """
    useful = spent = 0
    tile = lambda size: -(-size // unit) * unit  # noqa: E731
    for at, m, n, k, places in products(text):
        useful += calls.get(at, 0) * m * n * k * places
        spent += calls.get(at, 0) * min(m * tile(n), tile(m) * n) * tile(k) * places
    return useful / spent if spent else 0.0


def shape_bytes(shape: str) -> int:
    """Bytes of an array type such as f32[4,4,1,64], without padding."""
    kind, _, sizes = shape[:-1].partition("[")
    return BYTES.get(kind, 4) * prod(int(n) for n in sizes.split(",") if n)
