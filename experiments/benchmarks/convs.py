"""The forms of the 4x4 stride-2 convolution and of its transpose at the DCGAN's shapes, and of the ResNets' others.

python experiments/benchmarks/convs.py [--repeats 20] [--batch 64]      about 2 minutes on 2 CPU cores

Each number is the median time of one call that returns the output and the gradients in the input and in the kernel. The
forms take turns inside one process, so that a busy moment of the machine hits all of them. Expected on CPU: the plain
transposed convolution is several times slower than the matrix products, which `jaxgan.nets.layers` uses there. Those of
stride 1 are measured in a loop of two, as training runs them: there XLA's own took 7 to 34 times as long as patches (2
cores), and to a few channels products of rows, which jaxgan takes there, a half to a sixth of the time of patches.
"""

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxgan.convolution import convolved, patches
from jaxgan.nets import layers

# (input height = width, cin, cout) of the layers at width 64, batch 64
UP = {"32 px": [(4, 256, 128), (8, 128, 64), (16, 64, 1)], "28 px": [(7, 128, 64), (14, 64, 1)]}
DOWN = {"32 px": [(32, 1, 64), (16, 64, 128), (8, 128, 256)], "28 px": [(28, 1, 64), (14, 64, 128)]}


def to_depth(x):
    """Padded by one pixel, then 2x2 blocks into channels: [b, 2h, 2w, c] -> [b, h + 1, w + 1, 4c]."""
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)


def valid(x, kernel):
    """A 2x2 convolution without padding."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def shifts(x):
    """The four (h, w) windows of [b, h + 1, w + 1, c], by offset."""
    h, w = x.shape[1] - 1, x.shape[2] - 1
    return [(i, j, x[:, i : i + h, j : j + w]) for i in (0, 1) for j in (0, 1)]


def down_depth_conv(x, kernel):
    cin, cout = kernel.shape[2:]
    return valid(to_depth(x), layers.blocks(kernel).reshape(2, 2, 4 * cin, cout))


def down_sum(x, kernel):
    cin, cout = kernel.shape[2:]
    table = layers.blocks(kernel).reshape(2, 2, 4 * cin, cout)
    return sum(part @ table[i, j] for i, j, part in shifts(to_depth(x)))


def interleave(phase):
    """Phases {(a, b): [b, h, w, c]} at every second pixel -> [b, 2h, 2w, c]."""
    x = jnp.stack([jnp.stack([phase[a, b] for b in (0, 1)], 3) for a in (0, 1)], 2)
    n, h, _, w, _, c = x.shape
    return x.reshape(n, 2 * h, 2 * w, c)


def up_table(kernel):
    """Kernels of the phases as one 2x2 convolution of the padded input, [2, 2, cin, a, b, cout]."""
    return layers.blocks(kernel[::-1, ::-1]).transpose(0, 1, 4, 2, 3, 5)


def slices(x, h, w, cout):
    x = x.reshape(*x.shape[:3], 2, 2, cout)
    return interleave({(a, b): x[:, a : a + h, b : b + w, a, b] for a in (0, 1) for b in (0, 1)})


def up_depth_conv(x, kernel):
    (h, w), (cin, cout) = x.shape[1:3], kernel.shape[2:]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return slices(valid(x, up_table(kernel).reshape(2, 2, cin, 4 * cout)), h, w, cout)


def up_im2col(x, kernel):
    (h, w), (cin, cout) = x.shape[1:3], kernel.shape[2:]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = jnp.concatenate([part for _, _, part in shifts(x)], -1)
    return slices(x @ up_table(kernel).reshape(4 * cin, 4 * cout), h, w, cout)


def up_sum(x, kernel):
    (h, w), (cin, cout) = x.shape[1:3], kernel.shape[2:]
    table = up_table(kernel).reshape(2, 2, cin, 4 * cout)
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return slices(sum(part @ table[i, j] for i, j, part in shifts(x)), h, w, cout)


def up_phases(x, kernel):
    """Four separate products, each of the patches that its phase needs and of no others."""
    (h, w), (cin, cout) = x.shape[1:3], kernel.shape[2:]
    table = up_table(kernel)
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = jnp.concatenate([part for _, _, part in shifts(x)], -1)
    pick = lambda a, b: x[:, a : a + h, b : b + w] @ table[:, :, :, a, b].reshape(4 * cin, cout)  # noqa: E731
    return interleave({(a, b): pick(a, b) for a in (0, 1) for b in (0, 1)})


def same(x, kernel):
    """XLA's own convolution of stride 1, zeros around the image."""
    groups = x.shape[-1] // kernel.shape[2]
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


# (height = width, channels in and out, of a kernel's side, groups)
SAME = [(28, 32, 32, 3, 1), (14, 32, 32, 3, 1), (32, 32, 32, 3, 4), (8, 128, 128, 3, 16)]
FEWER = [(32, 64, 3, 3, 1), (32, 64, 32, 3, 1), (32, 32, 3, 7, 1)]


def of_patches(x, kernel):
    """One product of patches as large as the kernel, of one group."""
    return patches(x, len(kernel)) @ kernel.reshape(-1, kernel.shape[-1])


FORMS = {
    "down": {
        "strided conv": layers.down_conv,
        "depth + 2x2 conv": down_depth_conv,
        "sum of 4 products": down_sum,
        "jaxgan: one product of patches": layers.down_matmul,
    },
    "up": {
        "transposed conv": layers.up_conv,
        "2x2 conv + phases": up_depth_conv,
        "sum of 4 products": up_sum,
        "one product of patches": up_im2col,
        "one product per phase": up_phases,
        "jaxgan: patches, or overlap-add for few channels": layers.up_matmul,
    },
}


def with_gradients(form):
    """(x, kernel, cotangent) -> output and both gradients, compiled."""

    def call(x, kernel, cotangent):
        out, pull = jax.vjp(form, x, kernel)
        return out, pull(cotangent)

    return jax.jit(call)


def measure(forms, x, kernel, repeats):
    """Median milliseconds by form, the forms taking turns."""
    want = next(iter(forms.values()))(x, kernel)
    for form in forms.values():
        assert jnp.allclose(form(x, kernel), want, atol=1e-3 * float(jnp.abs(want).max())), form
    calls = {name: with_gradients(form) for name, form in forms.items()}
    cotangent = jax.random.normal(jax.random.key(2), want.shape)
    times: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call(x, kernel, cotangent))
            if turn:  # the first call compiles
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(t) for name, t in times.items()}


def table(kind, shapes, repeats, batch):
    """A Markdown table of one kind, a row per form and a column per shape."""
    columns = {}
    for size, rows in shapes.items():
        for h, cin, cout in rows:
            x = jax.random.normal(jax.random.key(0), (batch, h, h, cin))
            kernel = jax.random.normal(jax.random.key(1), (4, 4, cin, cout)) * 0.02
            out = 2 * h if kind == "up" else h // 2
            name = f"{size}: {h}x{h}x{cin} to {out}x{out}x{cout}"
            columns[name] = measure(FORMS[kind], x, kernel, repeats)
    print(f"\n| {kind}, ms | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for form in FORMS[kind]:
        print(f"| {form} | " + " | ".join(f"{times[form]:.1f}" for times in columns.values()) + " |")


def looped(form):
    """(x, kernel) -> both moved twice along form's gradients, in a loop."""

    def move(i, both):
        grads = jax.grad(lambda x, kernel: (form(x, kernel) ** 2).sum(), (0, 1))(*both)
        return tuple(p - 1e-9 * g for p, g in zip(both, grads))

    return jax.jit(lambda x, kernel: jax.lax.fori_loop(0, 2, move, (x, kernel)))


def table_in_a_loop(shapes, forms, repeats, batch):
    """A Markdown table of forms of stride 1, milliseconds for one gradient."""
    print("\n| in a loop, ms | " + " | ".join(forms) + " |\n|---|" + "---|" * len(forms))
    for h, cin, cout, size, groups in shapes:
        x = jax.random.normal(jax.random.key(0), (batch, h, h, cin))
        kernel = jax.random.normal(jax.random.key(1), (size, size, cin // groups, cout)) * 0.02
        calls = {name: looped(form) for name, form in forms.items()}
        times: dict[str, list[float]] = {name: [] for name in forms}
        for turn in range(repeats + 1):
            for name, call in calls.items():
                start = time.perf_counter()
                jax.block_until_ready(call(x, kernel))
                if turn:
                    times[name].append(500 * (time.perf_counter() - start))
        row = " | ".join(f"{statistics.median(t):.1f}" for t in times.values())
        print(f"| {h}x{h}, {size}x{size}, {cin} to {cout} channels, {groups} group{'s' * (groups > 1)} | {row} |")


def processor():
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    cores = f"{os.cpu_count()} cores {processor()}"
    print(f"jax {jax.__version__}, {jax.default_backend()} ({jax.devices()[0].device_kind}), {cores}")
    print(f"batch {args.batch}, median of {args.repeats}")
    table("up", UP, args.repeats, args.batch)
    table("down", DOWN, args.repeats, args.batch)
    here = {"jaxgan": lambda x, kernel: convolved(x, kernel, x.shape[-1] // kernel.shape[2])}
    few = max(args.repeats // 4, 1)
    table_in_a_loop(SAME, {"XLA's convolution": same, **here}, few, args.batch)
    table_in_a_loop(FEWER, {"XLA's convolution": same, "patches": of_patches, **here}, few, args.batch)


if __name__ == "__main__":
    main()
