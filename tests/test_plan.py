"""Plans: what is read from a compiled program, the search for the largest batch, and, where libtpu is, real plans."""

import importlib.util
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jaxgan import hlo, plan
from jaxgan.errors import JaxganError

ROOT = Path(__file__).parent.parent
LIBTPU = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU compiler of jaxgan[tpu], is not installed"
)

# A loop of unknown length around a loop of 3, as XLA prints them; shapes in tiles of 8x128.
HLO = """HloModule jit_f, entry_computation_layout={(f32[8,64]{1,0:T(8,128)}, bf16[3]{0})->f32[8,64]{1,0:T(8,128)}}

%fused (p.0: f32[8,64], p.1: f32[64,96]) -> f32[8,96] {
  %p.0 = f32[8,64]{1,0:T(8,128)} parameter(0)
  %p.1 = f32[64,96]{1,0:T(8,128)} parameter(1)
  ROOT %conv.1 = f32[8,96]{1,0:T(8,128)} convolution(%p.0, %p.1), dim_labels=bf_io->bf
}

%add (a: f32[], b: f32[]) -> f32[] {
  ROOT %c = f32[] add(%a, %b)
}

%inner (q: (f32[8,64])) -> (f32[8,64]) {
  %fusion.1 = f32[8,96]{1,0:T(8,128)} fusion(%x, %y), calls=%fused, backend_config={"estimated_cycles":"100"}
  %psum = (f32[96]{0:T(128)}, bf16[2,4]{1,0}) all-reduce(%m, %n), replica_groups={{0,1}}, to_apply=%add
}

%outer (r: (f32[8,64])) -> (f32[8,64]) {
  %w = (f32[8,64]) while(%t), condition=%go, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
  %copy.1 = f32[8,64]{1,0} copy(%r), backend_config={"estimated_cycles":"7"}
}

ENTRY %main (s: f32[8,64]) -> f32[8,64] {
  %v = (f32[8,64]) while(%u), condition=%on, body=%outer
}
"""


def test_what_is_read_from_hlo():
    calls = hlo.weights(HLO)
    assert (calls[""], calls["outer"], calls["inner"], calls["fused"]) == (1, 1, 3, 3)
    assert hlo.cycles(HLO, calls) == 3 * 100 + 7
    assert hlo.all_reduces(HLO, calls) == [(3, 96 * 4 + 8 * 2)]
    # 64 contracted features in 128 rows; 96 output features in 128 columns (or, exchanged, 8 rows of examples in 128)
    assert hlo.fill(HLO, calls, 128) == pytest.approx((64 / 128) * (96 / 128))
    assert hlo.fill(HLO, calls, 256) == pytest.approx((64 / 256) * (96 / 256))
    assert hlo.fill("", {"": 1}, 128) == 0
    assert hlo.looped(HLO, calls) == (3 - 1) * 2 * 8 * 96 * 64
    told = HLO.replace(', backend_config={"known_trip_count":{"n":"3"}}', "")
    assert hlo.weights(told)["fused"] == hlo.weights(HLO, loops=False)["fused"] == 1
    condition = """
%go (g: (s32[], f32[8,64])) -> pred[] {
  %five = s32[]{:T(128)} constant(5)
  %at = s32[]{:T(128)} get-tuple-element(%g), index=0
  ROOT %lt = pred[]{:T(512)} compare(%at, %five), direction=LT
}
"""
    assert hlo.weights(told + condition)["fused"] == 5


@pytest.mark.parametrize(
    ("image", "kernel", "options"),
    [
        ((2, 9, 8, 3), (3, 4, 3, 5), {"window_strides": (2, 1), "padding": [(1, 0), (2, 3)]}),
        ((2, 5, 4, 6), (4, 3, 6, 2), {"window_strides": (1, 1), "padding": [(2, 1), (0, 1)], "lhs_dilation": (2, 3)}),
        ((2, 9, 8, 4), (3, 2, 2, 6), {"window_strides": (1, 2), "padding": "SAME", "rhs_dilation": (2, 1)}),
        ((1, 1, 1, 3), (4, 4, 3, 2), {"window_strides": (1, 1), "padding": [(3, 3), (3, 3)]}),
    ],
)
def test_products_are_counted_as_xla_does(image, kernel, options):
    """Padding, strides, distances and groups; XLA's own count, of the program as JAX gave it to it."""
    groups = image[-1] // kernel[2]
    f = partial(
        jax.lax.conv_general_dilated, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups, **options
    )
    lowered = jax.jit(f).lower(jnp.ones(image), jnp.ones(kernel))
    assert hlo.multiplied(hlo.of(lowered)) == pytest.approx(lowered.cost_analysis()["flops"])


def test_products_in_loops_count_as_often_as_they_are_made():
    """2 l m n of a product, and of a scan's body, which XLA counts once, times its length."""
    x, y = jnp.ones((4, 3)), jnp.ones((3, 3))

    def looped(x, y):
        return jax.lax.scan(lambda x, _: (jax.jit(jnp.matmul)(x, y), None), x, length=5)[0]

    for f, times in ((jnp.matmul, 1), (looped, 5), (lambda x, y: looped(x, y) @ y, 6)):
        lowered = jax.jit(f).lower(x, y)
        text = hlo.of(lowered)
        assert hlo.multiplied(text) == times * 2 * 4 * 3 * 3
        assert hlo.flops(lowered) == pytest.approx(times * 2 * 4 * 3 * 3, abs=12)  # and a counter's
        assert hlo.looped(text, hlo.weights(text)) == (0 if times == 1 else 4) * 2 * 4 * 3 * 3
    batched = jax.jit(jax.vmap(jnp.matmul)).lower(jnp.ones((7, 4, 3)), jnp.ones((7, 3, 2)))
    assert hlo.multiplied(hlo.of(batched)) == 7 * 2 * 4 * 3 * 2


@pytest.mark.parametrize("limit", [8, 40, 1000, 10**6])
@pytest.mark.parametrize("start", [8, 64, 4096])
@pytest.mark.parametrize("true", [0, 8, 16, 776, 5000, 10**5])
def test_the_largest_batch_is_found(true, start, limit):
    """Within 1 / CLOSE and a unit of 8, whatever the start; the neighbour is known to be too large, or the limit."""
    asked = []

    def fits(n):
        asked.append(n)
        return n <= true

    low, high = plan.largest(fits, start, 8, limit)
    best = min(true, limit) // 8 * 8
    assert low <= best < high and high - low <= max(8, low // plan.CLOSE)
    assert low == 0 or low in asked
    assert all(n % 8 == 0 and 0 < n <= limit for n in asked) and len(asked) == len(set(asked)) <= 30


def test_peaks_follow_from_the_matrix_units():
    """Peak = 2 FLOPs x multipliers x clock: the published numbers give clocks of 1 to 2 GHz."""
    for chip in plan.CHIPS.values():
        assert 1e9 < chip.flops / (2 * chip.units * chip.unit**2) < 2e9


@pytest.mark.parametrize(
    "name, message", [("v5:2x4", "Did you mean 'v5e:2x4'"), ("cpu", "Known: v4:2x2x1, v5e:2x4, v5p:2x2x1")]
)
def test_an_unknown_topology(name, message):
    with pytest.raises(JaxganError, match=message):
        plan.chips(name)


def test_without_libtpu(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JaxganError, match=r"pip install -e '.\[tpu\]'"):
        plan.chips("v5e:2x4")


def jaxgan(*args, code=0):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jaxgan", "plan", str(ROOT / "experiments" / args[0]), *args[1:]]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == code, done.stderr[-3000:]
    return done.stdout if code == 0 else done.stderr


@LIBTPU
def test_a_plan():
    """The state is donated, and two updates are two all-reduces, of all their gradients."""
    row = json.loads(jaxgan("ring.py", "--width", "64", "--json"))
    assert row["fits"] and row["chips"] == 8 and row["batch"] == 256 and row["parallel"] == "pmap"
    assert row["aliased"] > 0.95 * row["outputs"] and 0 < row["used"] < row["memory"]
    assert row["all_reduces"] == 2
    parameters = (2 * 64 + 64 + 64 * 64 + 64) * 2 + (64 * 2 + 2) + (64 + 1)
    assert 4 * parameters < row["all_reduce_bytes"] < 4 * parameters + 100  # and some metrics
    assert 0 < row["utilisation"] < 1 and 0 < row["matrix_fill"] < 1 and 0 < row["layout_fill"] <= 1


@LIBTPU
def test_errors_of_the_compiler():
    assert "no topology 'v5e:4x5'" in jaxgan("ring.py", "--topology", "v5e:4x5", code=2)
    assert "batch 65 cannot be split over 8 devices" in jaxgan("ring.py", "--batch", "65", code=2)


LOWER = """
import sys
from pathlib import Path
from jaxgan import cli, data, plan
c = cli.experiment(Path(sys.argv[1]))[0]
text = plan.lower(c, data.of_config(c)[0], plan.chips("v5e:2x4")[0]).as_text()
print(text.count("stablehlo.convolution"))
"""


@LIBTPU
def test_a_tpu_gets_convolutions_where_a_cpu_gets_products():
    """The DCGAN's step has convolutions, of which this machine's own program has none."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", LOWER, str(ROOT / "experiments" / "mnist_dcgan.py")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 20


def test_data_that_are_not_here_take_no_memory():
    source = plan.stand_in("64x48x3", 7, False)
    assert (source.shape, source.classes) == ((64, 48, 3), 7)
    assert source.bytes > 10 * 2**30, "so they are streamed"
    rows = source.rows([5, 2**22 - 1])
    assert rows["x"].shape == (2, 64, 48, 3) and rows["x"].dtype == "uint8"
    for wrong in ("64", "64x64", "axbxc"):
        with pytest.raises(JaxganError, match="HEIGHTxWIDTHxCHANNELS"):
            plan.stand_in(wrong, 0, False)
