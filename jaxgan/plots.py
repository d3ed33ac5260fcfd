"""Pictures: grids of images and of curves, scatter plots and densities of toys, and the animation of a run."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxgan import disk
from jaxgan.data.images import reason
from jaxgan.errors import JaxganError
from jaxgan.types import Density

BOARD = 255, 205  # greys of the checkerboard behind what is transparent


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as bytes, rounded; what lies outside is clipped."""
    return np.clip(np.rint((np.asarray(images, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


def tile(image: np.ndarray) -> np.ndarray:
    """One image [h, w, c] in [-1, 1] as [h, w, 3] uint8; c = 1 is grey, 4 over a checkerboard, more is cut."""
    if image.shape[-1] == 4:
        return over_checkerboard(to_uint8(image))
    return to_uint8(image)[..., :3] if image.shape[-1] >= 3 else np.repeat(to_uint8(image)[..., :1], 3, -1)


def over_checkerboard(image: np.ndarray) -> np.ndarray:
    """Colours and opacity uint8 [h, w, 4] as what is seen [h, w, 3] before squares of two light greys."""
    h, w, _ = image.shape
    side = max(1, min(h, w) // 8)
    row, column = np.arange(h)[:, None] // side, np.arange(w)[None] // side
    board = np.where((row + column) % 2 == 0, BOARD[0], BOARD[1])[..., None]
    opacity = image[..., 3:] / 255
    return np.rint(image[..., :3] * opacity + board * (1 - opacity)).astype(np.uint8)


def of_file(image: np.ndarray) -> np.ndarray:
    """One image [h, w, c] in [-1, 1] as an image file holds it: `tile`, but with its opacity [h, w, 4] if c is 4."""
    return to_uint8(image) if image.shape[-1] == 4 else tile(image)


def grid(images: np.ndarray, columns: int, heads: Sequence[str] = ()) -> np.ndarray:
    """One picture [H, W, 3] uint8 of images [n, h, w, c] in [-1, 1], with thin gaps, each a `tile`.

    heads: words above the columns.
    """
    n, h, w, _ = images.shape
    rows, gap = -(-n // columns), max(1, h // 16)
    scale = max(1, 64 // h)  # small images are enlarged, pixel by pixel
    picture = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (h + gap), i % columns * (w + gap)
        picture[y : y + h, x : x + w] = tile(image)
    picture = picture.repeat(scale, 0).repeat(scale, 1)
    return np.concatenate([_words_above(heads, (w + gap) * scale, picture.shape[1]), picture]) if heads else picture


def heads(y, columns: int, names: Sequence[str]) -> list[str]:
    """The class that each column of a grid shows, if each shows one; y: labels of its examples, or None."""
    if y is None or not names or any((y[i::columns] != y[i]).any() for i in range(min(columns, len(y)))):
        return []
    return [names[label] for label in y[:columns]]


def _words_above(words: Sequence[str], pitch: int, width: int) -> np.ndarray:
    """A strip [16, width, 3] uint8 with a word at the start of each column of `pitch` pixels, cut where it is full."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    strip = Image.new("RGB", (width, 16), "white")
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", 11)
    for i, word in enumerate(words):
        column = Image.new("RGB", (pitch, 16), "white")
        ImageDraw.Draw(column).text((1, 1), word, "black", font)
        strip.paste(column, (i * pitch, 0))
    return np.asarray(strip)


def examples(
    x: np.ndarray, columns: int, density: Density | None = None, title: str = "", heads: Sequence[str] = ()
) -> np.ndarray:
    """The picture that suits examples [n, *shape]: `grid` of images, `curves` of sequences, or `points`.

    heads: words above the columns of a grid.
    """
    if x.ndim == 2:
        return points(x, density, title)
    return grid(x, columns, heads) if x.ndim == 4 else curves(x, columns)


def curves(x: np.ndarray, columns: int) -> np.ndarray:
    """A picture [H, W, 3] uint8 of sequences [n, length, channels], a cell each from -1 to 1; what lies outside shows.

    Channels have colours. Thin lines mark zero.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    n, length, channels = x.shape
    rows, color = -(-n // columns), ["#0072b2", "#d55e00", "#009e73", "#e69f00"]
    figure = Figure(figsize=(1.1 * columns, 0.8 * rows), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    row, column = np.divmod(np.arange(n), columns)
    t = column[:, None] + np.linspace(0.05, 0.95, length)
    y = -row[:, None, None] - 0.5 + 0.4 * np.clip(x, -1.2, 1.2)  # a wild curve stays in its own cell
    axes.hlines(-row - 0.5, column + 0.05, column + 0.95, color="#cccccc", lw=0.6)
    for channel in range(channels):
        lines = np.stack([t, y[..., channel]], -1)
        axes.add_collection(LineCollection(list(lines), colors=color[channel % len(color)], linewidths=1.1))
    axes.set(xlim=(0, columns), ylim=(-rows, 0))
    axes.axis("off")
    return _pixels(figure)


def columns(classes: int) -> int:
    """Columns of a grid whose labels run through the classes in turn: one a class where they fit, else 8."""
    return classes if 2 <= classes <= 16 else 8


def points(samples: np.ndarray, density: Density | None, title: str = "") -> np.ndarray:
    """A picture [H, W, 3] uint8 of samples [n, d], d = 1 (histogram) or 2 (scatter), over the exact density."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    (_histogram if samples.shape[1] == 1 else _scatter)(axes, np.asarray(samples), density)
    axes.set_title(title)
    return _pixels(figure)


def draw(density: Density, n: int) -> np.ndarray:
    """n samples [n, d] of a density, always the same."""
    return _drawn(density.sample, n)


@functools.lru_cache(maxsize=8)  # each picture of a run shows them, and tracing takes longer than drawing
def _drawn(sample, n: int) -> np.ndarray:
    import jax

    @jax.jit  # one program in place of one per operation, two dozen; of an argument, or XLA would draw as it compiles
    def made(seed):
        return jax.vmap(sample)(jax.random.split(jax.random.key(seed), n))

    return np.asarray(made(np.uint32(0)))


def _scatter(axes, samples, density):
    if density is not None:
        real = draw(density, 1000)
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

        real = draw(density, 1000)
        x = np.linspace(real.min() - 1, real.max() + 1, 400)
        axes.plot(x, np.exp(jax.jit(jax.vmap(density.log_pdf))(x[:, None])), c="#666666", label="data density")
        axes.set_xlim(x[0], x[-1])
    axes.hist(samples[:, 0], bins=100, density=True, color="#0072b2", alpha=0.7, label="generated")
    axes.set_xlabel("$x$")
    axes.set_ylabel("density")
    axes.legend(loc="upper right")


def save(picture: np.ndarray, path: Path) -> None:
    """Write a picture [H, W, 3 or 4] uint8 as PNG."""
    from PIL import Image

    with disk.replacing(path) as file:
        Image.fromarray(picture).save(file, "PNG")


def _pixels(figure) -> np.ndarray:
    """A matplotlib Figure as [H, W, 3] uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_figure(figure, path: Path) -> None:
    """Write a matplotlib Figure as PNG of 256 colours, a third of the bytes."""
    from PIL import Image

    picture = Image.fromarray(_pixels(figure)).quantize(256, dither=Image.Dither.NONE)
    with disk.replacing(path) as file:
        picture.save(file, "PNG", optimize=True)


def read(path: Path):
    """A picture as a PIL image; JaxganError, which names it, where it is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return image
    except Exception as e:  # decoders raise nearly anything on damaged files
        raise JaxganError(f"the picture {path} cannot be read ({reason(e)}); remove it, or bring it back") from None


def animate(paths: list[Path], out: Path, milliseconds: int = 150) -> None:
    """One looping GIF of PNG pictures; the last stays for two seconds."""
    pictures = [read(path) for path in paths]
    width, height = (max(picture.size[axis] for picture in pictures) for axis in (0, 1))
    corners = [(picture.size[0] - width, picture.size[1] - height, *picture.size) for picture in pictures]
    padded = [picture.crop(corner) for picture, corner in zip(pictures, corners)]  # to one size, as frames have to be
    gif(padded, out, [milliseconds] * (len(padded) - 1) + [2000])


def gif(pictures, out: Path, milliseconds) -> None:
    """A looping GIF of pictures of one size; milliseconds: of all of them, or of each."""
    from PIL import Image

    images = [picture if isinstance(picture, Image.Image) else Image.fromarray(picture) for picture in pictures]
    frames = [image.convert("P", palette=Image.Palette.ADAPTIVE) for image in images]
    with disk.replacing(out) as file:
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)


def diagnosis(report, path: dict, history: list[dict], words: list[str], title: str):
    """The figure of a diagnosis: eigenvalues, path, D's scores, spectral norms, history and readings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8), dpi=90, layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    _eigenvalues(panels[0], report)
    _path(panels[1], path)
    _scores(panels[2], report.scores)
    _spectral(panels[3], report.spectral)
    _history(panels[4], history)
    _words(panels[5], words)
    figure.suptitle(title)
    return figure


def _eigenvalues(axes, report) -> None:
    values, good = report.eigenvalues, report.residuals < 0.05 * abs(report.eigenvalues).max()
    axes.axvspan(0, 1e9, color="#d55e00", alpha=0.08, lw=0)
    axes.scatter(values.real[good], values.imag[good], c="#0072b2", s=25, label="converged")
    axes.scatter(values.real[~good], values.imag[~good], edgecolors="#0072b2", facecolors="none", s=25, label="not yet")
    axes.axhline(0, c="#999999", lw=0.6)
    axes.axvline(0, c="#999999", lw=0.6)
    reach = 2 * abs(values).max()
    small = reach / 50  # logarithmic beyond this: D's curvature dwarfs the rest
    decades = 10.0 ** np.arange(np.ceil(np.log10(3 * small)), np.log10(reach))
    axes.set_xscale("symlog", linthresh=small)
    axes.set_yscale("symlog", linthresh=small)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([*-decades[::-1], 0, *decades])
    axes.set(
        xlim=(-reach, reach), ylim=(-reach, reach), xlabel="real part (right of 0 repels)", ylabel="imaginary part"
    )
    axes.set_title("outermost eigenvalues of the game's Jacobian")
    axes.legend(fontsize=8)


def _path(axes, path: dict) -> None:
    axes.plot(path["reach"], path["angle"], c="#0072b2", label="cosine of motion and line")
    axes.axvline(1, c="#999999", ls=":")
    axes.axhline(0, c="#999999", lw=0.6)
    reach = 1.2 * abs(path["angle"]).max()
    axes.set(ylim=(-reach, reach), xlabel="from the first parameters (0) to the present ones (1)", ylabel="cosine")
    axes.set_title("path angle")
    other = axes.twinx()
    other.semilogy(path["reach"], path["field"], c="#d55e00", ls="--", label="gradient norm")
    other.set_ylabel("gradient norm (dashed)", color="#d55e00")


def _scores(axes, scores: dict) -> None:
    axes.set(xlabel="D's logit", ylabel="density")
    axes.set_title("what D says of" if scores else "no D judges examples in this kind of game")
    if not scores:
        return
    edges = np.histogram_bin_edges(np.concatenate([*scores.values()]), 40)
    styles = {"training": "#0072b2", "held out": "#009e73", "generated": "#d55e00"}
    for name, logits in scores.items():
        axes.hist(logits, edges, density=True, histtype="step", lw=1.6, color=styles[name], label=name)
    axes.legend(fontsize=8)


def _spectral(axes, spectral: dict) -> None:
    names = [*spectral]
    colors = ["#0072b2" if name.startswith("d.") else "#e69f00" for name in names]
    axes.barh(range(len(names)), [*spectral.values()], color=colors)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("spectral norm")
    axes.set_title("largest singular value of each kernel")


def _history(axes, history: list[dict]) -> None:
    """Diagnoses during training where there were some, else the losses."""
    names = ["diagnosis/diversity", "diagnosis/auc_train", "diagnosis/auc_held", "diagnosis/exploitability"]
    logged = {n for row in history for n in row}
    names = [n for n in names if n in logged] or [n for n in ("d_loss", "g_loss") if n in logged]
    for name, color in zip(names, ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]):
        rows = [row for row in history if name in row]
        axes.plot([r["step"] for r in rows], [r[name] for r in rows], c=color, label=name.removeprefix("diagnosis/"))
    axes.set_xlabel("step")
    axes.set_title("over training")
    axes.legend(fontsize=8)


def _words(axes, words: list[str]) -> None:
    import textwrap

    axes.axis("off")
    text = "\n\n".join(textwrap.fill(word, 56) for word in words)
    axes.text(0, 1, text, va="top", fontsize=10, transform=axes.transAxes)
    axes.set_title("reading")
