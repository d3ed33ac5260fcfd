"""Pictures: grids of images, scatter plots and densities of toys, and the animation of a run."""

from pathlib import Path

import numpy as np

from jaxgan.types import Density


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as bytes, rounded; what lies outside is clipped."""
    return np.clip(np.rint((np.asarray(images, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


def grid(images: np.ndarray, columns: int) -> np.ndarray:
    """One picture [H, W, 3] uint8 of images [n, h, w, c] in [-1, 1], with thin gaps; c = 1 is grey, above 3 is cut."""
    n, h, w, c = images.shape
    rows, gap = -(-n // columns), max(1, h // 16)
    scale = max(1, 64 // h)  # small images are enlarged, pixel by pixel
    tiles = to_uint8(images)[..., :3] if c >= 3 else np.repeat(to_uint8(images)[..., :1], 3, -1)
    picture = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        picture[y : y + h, x : x + w] = tile
    return picture.repeat(scale, 0).repeat(scale, 1)


def columns(classes: int) -> int:
    """Columns of a grid whose labels run through the classes in turn: one a class where they fit, else 8."""
    return classes if 2 <= classes <= 16 else 8


def points(samples: np.ndarray, density: Density | None, title: str = "") -> np.ndarray:
    """A picture [H, W, 3] uint8 of samples [n, d], d = 1 (histogram) or 2 (scatter), over the exact density."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.add_subplot()
    (_histogram if samples.shape[1] == 1 else _scatter)(axes, np.asarray(samples), density)
    axes.set_title(title)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw(density: Density, n: int) -> np.ndarray:
    import jax

    return np.asarray(jax.vmap(density.sample)(jax.random.split(jax.random.key(0), n)))


def _scatter(axes, samples, density):
    if density is not None:
        real = _draw(density, 1000)
        axes.scatter(*real[:, :2].T, s=14, c="#bbbbbb", label="data", linewidths=0)
        center, reach = real.mean(0), 1.3 * np.abs(real - real.mean(0)).max() + 1e-6
        axes.set_xlim(center[0] - reach, center[0] + reach)
        axes.set_ylim(center[1] - reach, center[1] + reach)
    axes.scatter(*samples[:, :2].T, s=4, c="#0072b2", label="generated", linewidths=0)
    axes.set_aspect("equal")
    axes.set_xlabel("$x_1$")
    axes.set_ylabel("$x_2$")
    axes.legend(loc="upper right")


def _histogram(axes, samples, density):
    if density is not None:
        import jax

        real = _draw(density, 1000)
        x = np.linspace(real.min() - 1, real.max() + 1, 400)
        axes.plot(x, np.exp(jax.vmap(density.log_pdf)(x[:, None])), c="#666666", label="data density")
        axes.set_xlim(x[0], x[-1])
    axes.hist(samples[:, 0], bins=100, density=True, color="#0072b2", alpha=0.7, label="generated")
    axes.set_xlabel("$x$")
    axes.set_ylabel("density")
    axes.legend(loc="upper right")


def save(picture: np.ndarray, path: Path) -> None:
    """Write a picture [H, W, 3] uint8 as PNG."""
    from PIL import Image

    Image.fromarray(picture).save(path)


def animate(paths: list[Path], out: Path, milliseconds: int = 150) -> None:
    """One looping GIF of PNG pictures; the last stays for two seconds."""
    from PIL import Image

    frames = [Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE) for path in paths]
    durations = [milliseconds] * (len(frames) - 1) + [2000]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=durations, loop=0)
