"""How long a train step of pix2pix and of CycleGAN takes at 256 pixels, batch 1, beside the same networks in PyTorch.

    python experiments/benchmarks/translators.py [--only pix2pix cyclegan] [--runs 3] [--steps 3]

The recipes facades_pix2pix (U-Net-256, a conditional D of 70-pixel patches, batch norm, dropout) and
horse2zebra_cyclegan (two ResNets of 9 blocks and two D's, instance norm, pools of 50, identity), on noise. A step is an
update of D and one of G, each on a fresh batch. Each program runs in a process of its own, one after the other, --runs
times in turn; prints a Markdown table of medians. Parameters of both are counted, and have to be as many. Without
PyTorch (pip install torch) there is jaxgan alone. On a busy machine CPU seconds say more than times.
"""

import argparse
import dataclasses
import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sweep import processor

RECIPES = {"pix2pix": "facades_pix2pix", "cyclegan": "horse2zebra_cyclegan"}
HERE, ROWS = Path(__file__).parent, 16  # pairs of images


def images() -> np.ndarray:
    """Pairs uint8 [ROWS, 256, 256, 6]."""
    return np.random.default_rng(0).integers(0, 256, (ROWS, 256, 256, 6), np.uint8)


def timed(step, steps: int, start: float) -> dict:
    """Seconds of step() until the first is done, counted from start, and of each after it: times, and of processors."""
    step()
    cold, times, processors = time.monotonic() - start, [], []
    for _ in range(steps):
        before = time.monotonic(), time.process_time()
        step()
        times.append(time.monotonic() - before[0])
        processors.append(time.process_time() - before[1])
    return {"first": cold, "seconds": statistics.median(times), "cpu": statistics.median(processors)}


def of_jaxgan(kind: str, steps: int) -> dict:
    """What `timed` says of jaxgan's compiled step, and its parameters."""
    start = time.monotonic()
    import jax

    from jaxgan import data, games, parallel, program
    from jaxgan.commands.start import start_jax
    from jaxgan.experiment import experiment
    from jaxgan.state import initial

    start_jax()
    c = experiment(HERE.parent / "recipes" / f"{RECIPES[kind]}.py")[0]
    source = data.from_arrays(images(), flip=True)
    c = dataclasses.replace(c, data="arrays", feed="device")
    devices = parallel.devices(c.parallel)
    game = games.make(c, source.shape, source.classes, devices.axis)
    compiled = program.build(game, source, c, devices)
    now = {"state": devices.replicate(initial(game, c, source.shape)), "at": 0}

    def step():
        state, _ = compiled.advance(now["state"], now["at"], 1)
        now.update(state=jax.block_until_ready(state), at=now["at"] + 1)

    found = timed(step, steps, start)
    return found | {"parameters": sum(x.size for x in jax.tree.leaves(now["state"].params)), "version": jax.__version__}


def of_torch(kind: str, steps: int) -> dict:
    """What `timed` says of the same networks and losses in PyTorch, eager, and their parameters."""
    start = time.monotonic()
    torch: Any = importlib.import_module("torch")  # which may not be here

    torch.manual_seed(0)
    data = torch.from_numpy(images()).permute(0, 3, 1, 2).float() / 127.5 - 1
    nets, step = (pix2pix if kind == "pix2pix" else cyclegan)(torch, lambda: data[torch.randint(0, ROWS, (1,))])
    found = timed(step, steps, start)
    return found | {
        "parameters": sum(x.numel() for net in nets for x in net.parameters()),
        "version": torch.__version__,
    }


def unet(torch, widths, norm):
    """U-Net-256: 4x4 convolutions from 3 channels down to one pixel, and up again; dropout in three."""
    nn: Any = torch.nn

    class Level(nn.Module):
        def __init__(self, above, width, inner, i):
            super().__init__()
            last = inner is None
            down = [nn.Conv2d(above, width, 4, 2, 1, bias=norm is not nn.BatchNorm2d)]
            down = ([nn.LeakyReLU(0.2)] if i else []) + down + ([norm(width)] if i and not last else [])
            out = nn.ConvTranspose2d(
                width if last else 2 * width, above if i else 3, 4, 2, 1, bias=i == 0 or norm is not nn.BatchNorm2d
            )
            up = [nn.ReLU(), out, *([norm(above)] if i else [nn.Tanh()])]
            up += [nn.Dropout(0.5)] * (4 <= i < len(widths) - 1)
            self.body, self.joins = nn.Sequential(*down, *([] if last else [inner]), *up), i > 0

        def forward(self, x):
            return torch.cat([x, self.body(x)], 1) if self.joins else self.body(x)

    inner = None
    for i in reversed(range(len(widths))):
        inner = Level(widths[i - 1] if i else 3, widths[i], inner, i)
    return begun(torch, inner)


def resnet(torch, blocks: int):
    """ResNet of CycleGAN: reflected borders, instance norm without gains."""
    nn: Any = torch.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            layer = [nn.ReflectionPad2d(1), nn.Conv2d(256, 256, 3), nn.InstanceNorm2d(256)]
            again = [nn.ReflectionPad2d(1), nn.Conv2d(256, 256, 3), nn.InstanceNorm2d(256)]
            self.body = nn.Sequential(*layer, nn.ReLU(), *again)

        def forward(self, x):
            return x + self.body(x)

    def act(convolution, width):
        return [convolution, nn.InstanceNorm2d(width), nn.ReLU()]

    layers = [nn.ReflectionPad2d(3), *act(nn.Conv2d(3, 64, 7), 64)]
    for width in (64, 128):
        layers += act(nn.Conv2d(width, 2 * width, 3, 2, 1), 2 * width)
    layers += [Block() for _ in range(blocks)]
    for width in (256, 128):
        layers += act(nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1), width // 2)
    return begun(torch, nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(64, 3, 7), nn.Tanh()))


def patches(torch, channels: int, norm):
    """A D of 70-pixel patches."""
    nn: Any = torch.nn
    layers, biased = [nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2)], norm is not nn.BatchNorm2d
    for width, stride in ((64, 2), (128, 2), (256, 1)):
        layers += [nn.Conv2d(width, 2 * width, 4, stride, 1, bias=biased), norm(2 * width), nn.LeakyReLU(0.2)]
    return begun(torch, nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 1)))


def begun(torch, net):
    """net with kernels from a normal distribution of deviation 0.02."""
    for part in net.modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.normal_(part.weight, 0, 0.02)
    return net


def moved(optimizer, loss) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def adam(torch, *nets):
    return torch.optim.Adam([x for net in nets for x in net.parameters()], 2e-4, (0.5, 0.999))


def pix2pix(torch, pair):
    """Networks, and a step: the non-saturating loss, and 100 times the L1 of G."""
    norm, soft = torch.nn.BatchNorm2d, torch.nn.functional.softplus
    g, d = unet(torch, (64, 128, 256, 512, 512, 512, 512, 512), norm), patches(torch, 6, norm)
    of_g, of_d = adam(torch, g), adam(torch, d)

    def step():
        a, b = pair().chunk(2, 1)
        with torch.no_grad():
            fake = g(a)
        real, made = d(torch.cat([a, b], 1)), d(torch.cat([a, fake], 1))
        moved(of_d, soft(-real).mean() + soft(made).mean())
        a, b = pair().chunk(2, 1)
        fake = g(a)
        d.requires_grad_(False)
        moved(of_g, soft(-d(torch.cat([a, fake], 1))).mean() + 100 * (b - fake).abs().mean())
        d.requires_grad_(True)

    return (g, d), step


def cyclegan(torch, pair):
    """Networks, and a step: least squares, cycles by 10, identity by 5, fakes from pools of 50."""
    g, f = (resnet(torch, 9) for _ in range(2))
    to_a, to_b = (patches(torch, 3, torch.nn.InstanceNorm2d) for _ in range(2))
    of_g, of_d = adam(torch, g, f), adam(torch, to_a, to_b)
    kept: list[tuple] = []

    def old(fakes):
        """fakes, or, where 50 are kept, by a coin one of these, in whose place they are kept."""
        if len(kept) < 50:
            kept.append(fakes)
        elif torch.rand(()) < 0.5:
            i = int(torch.randint(0, 50, ()))
            kept[i], fakes = fakes, kept[i]
        return fakes

    def step():
        a, b = pair().chunk(2, 1)
        with torch.no_grad():
            fake_a, fake_b = old((f(b), g(a)))
        judged = [((d(real) - 1) ** 2).mean() + (d(fake) ** 2).mean() for d, real, fake in _sides(a, b, fake_a, fake_b)]
        moved(of_d, sum(judged) / 2)
        a, b = pair().chunk(2, 1)
        fake_a, fake_b = f(b), g(a)
        for d in (to_a, to_b):
            d.requires_grad_(False)
        fooled = ((to_a(fake_a) - 1) ** 2).mean() + ((to_b(fake_b) - 1) ** 2).mean()
        cycle = (f(fake_b) - a).abs().mean() + (g(fake_a) - b).abs().mean()
        same = (f(a) - a).abs().mean() + (g(b) - b).abs().mean()
        moved(of_g, fooled / 2 + 10 * cycle + 5 * same)
        for d in (to_a, to_b):
            d.requires_grad_(True)

    def _sides(a, b, fake_a, fake_b):
        return (to_a, a, fake_a), (to_b, b, fake_b)

    return (g, f, to_a, to_b), step


PROGRAMS = {"jaxgan": of_jaxgan, "PyTorch, eager": of_torch}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--steps", type=int, default=3, help="timed steps of each run, after the first")
    p.add_argument("--one", nargs=2, metavar=("PROGRAM", "KIND"), help="time one program here, and print JSON")
    a = p.parse_args()
    if a.one:
        print(json.dumps(PROGRAMS[a.one[0]](a.one[1], a.steps)))
        return
    programs = list(PROGRAMS) if importlib.util.find_spec("torch") else ["jaxgan"]
    print(f"{os.cpu_count()} cores of {processor()}, load {os.getloadavg()[0]:.1f}, medians of {a.runs} runs\n")
    print("| kind | program | seconds a step | from | to | CPU seconds a step | until the first step | times jaxgan |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in a.only:
        rows: dict[str, list[dict]] = {name: [] for name in programs}
        for _ in range(a.runs):
            for name in programs:
                command = [sys.executable, __file__, "--steps", str(a.steps), "--one", name, kind]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rows[name].append(json.loads(done.stdout.splitlines()[-1]))
        if len(counts := {row["parameters"] for found in rows.values() for row in found}) > 1:
            raise SystemExit(f"{kind}: networks of {' and '.join(map(str, counts))} parameters are not the same")
        middle = {name: statistics.median(row["seconds"] for row in found) for name, found in rows.items()}
        for name, found in rows.items():
            times = [row["seconds"] for row in found]
            cpu, first = (statistics.median(row[key] for row in found) for key in ("cpu", "first"))
            cells = f"{middle[name]:.2f} | {min(times):.2f} | {max(times):.2f} | {cpu:.2f} | {first:.1f}"
            print(f"| {kind} | {name} | {cells} | {middle[name] / middle['jaxgan']:.2f} |", flush=True)
    print(f"\nload after {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
