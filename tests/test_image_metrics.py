"""Sliced Wasserstein distance, MS-SSIM, PSNR and SSIM of images: parts written otherwise, and closed forms."""

import math

import numpy as np
import pytest
from scipy.ndimage import convolve
from scipy.signal import convolve2d
from scipy.special import gammaln

from jaxgan.errors import JaxganError
from jaxgan.metrics import images, ms_ssim, ppl, psnr, ssim, swd


def smooth_images(n, size, seed, c=3):
    """Colour gradients and blobs with a little noise, uint8."""
    draw = np.random.default_rng(seed)
    at = np.linspace(-1, 1, size)
    slope, bend, phase = draw.normal(size=(3, n, 1, 1, c))
    x = np.sin(slope * at[None, :, None, None] * 3 + bend * at[None, None, :, None] * 3 + phase)
    return np.rint(127.5 + 100 * x + draw.normal(size=x.shape) * 5).clip(0, 255).astype(np.uint8)


def test_the_pyramid_is_that_of_whole_filters():
    x = smooth_images(2, 32, 0).astype(np.float32)
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])[None, :, :, None] / 256
    small = convolve(x.astype(float), kernel, mode="mirror")[:, ::2, ::2]
    up = np.zeros(x.shape)
    up[:, ::2, ::2] = small
    fine, coarse = images.pyramid(x, 2)
    np.testing.assert_allclose(coarse, small, atol=1e-4)
    np.testing.assert_allclose(fine, x - convolve(up, 4 * kernel, mode="mirror"), atol=1e-4)
    flat = images.pyramid(np.full((1, 64, 64, 1), 9, np.float32), 3)
    assert [level.shape[1] for level in flat] == [64, 32, 16]
    assert np.abs(flat[0]).max() < 1e-5 and np.abs(flat[1]).max() < 1e-5 and (flat[2] == 9).all()


def test_patches_are_windows_of_the_image_with_channels_normalised():
    draw = np.random.default_rng(0)
    x = np.arange(16 * 16).reshape(1, 16, 16, 1).astype(np.uint8).repeat(2, -1)
    found = images._patches(x, 0, 1, draw).reshape(-1, 7, 7, 2)
    assert found.shape[0] == 128
    np.testing.assert_allclose(found.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(found.std((0, 1, 2)), 1, rtol=1e-5)
    step = found[:, :, 1:] - found[:, :, :-1]
    np.testing.assert_allclose(found[:, 1:] - found[:, :-1], 16 * step.mean(), rtol=1e-3)  # a row has 16 numbers
    corners = np.unique(found[:, 0, 0, 0].round(5))
    assert 60 < len(corners) <= 100  # of 10 x 10 places, 128 draws


def test_moved_points_have_the_closed_form():
    """Every projection moves by d.v: on average |v| E|d_1|, for d even on the sphere."""
    draw = np.random.default_rng(0)
    a, v = draw.normal(size=(500, 49)).astype(np.float32), draw.normal(size=49).astype(np.float32)
    want = np.linalg.norm(v) * math.exp(gammaln(24.5) - gammaln(25)) / math.sqrt(math.pi)
    found = [images._sliced(a, (a + v)[::-1], draw) / 1000 for _ in range(20)]
    assert np.mean(found) == pytest.approx(want, abs=4 * np.std(found) / math.sqrt(20))
    # the same points in another order, which a matrix product rounds by their place: 1000 times float32's rounding
    assert images._sliced(a, a[::-1], draw) < 1000 * 8 * np.finfo(np.float32).eps


def test_swd_orders_what_differs():
    a, b = np.random.default_rng(0).integers(0, 256, (2, 8, 32, 32, 3), np.uint8)
    found = [swd(a, b), swd(a, smooth_images(8, 32, 1))]
    assert set(found[0]) == {"swd", "swd-32", "swd-16"}
    same, other = (f["swd"].value for f in found)
    assert 0 < same < other / 2
    assert found[0]["swd"].value == pytest.approx((found[0]["swd-32"].value + found[0]["swd-16"].value) / 2)
    assert found[0]["swd-16"].name == "swd-16/images/n8/patches128/directions512"
    assert swd(a[:4], a[4:8]) == swd(a[:4], a[4:8]) != swd(a[:4], a[4:8], seed=1)


def test_swd_is_refused_where_it_has_no_meaning():
    a = smooth_images(4, 32, 0)
    for b, says in ((a[:3], "as many images"), (a[:, :16], "as many images"), (a / 255, "images uint8")):
        with pytest.raises(JaxganError, match=says):
            swd(a, b)
    for size in (8, 67):
        odd = np.zeros((2, size, size, 3), np.uint8)
        with pytest.raises(JaxganError, match=f"{size}x{size} pixels"):
            swd(odd, odd)


def by_windows(a, b):
    """MS-SSIM of two images [h, w, c], each window's weights summed by an outer product."""
    a, b, out = a.astype(float), b.astype(float), 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        taps = min(11, len(a))
        at = np.arange(taps) - (taps - 1) / 2
        line = np.exp(-(at**2) / (2 * (1.5 * taps / 11) ** 2))
        window = np.outer(line, line) / line.sum() ** 2
        f = lambda x, w=window: np.stack([convolve2d(x[..., i], w, "valid") for i in range(x.shape[-1])], -1)  # noqa: E731
        ma, mb = f(a), f(b)
        va, vb, cov = f(a * a) - ma**2, f(b * b) - mb**2, f(a * b) - ma * mb
        contrast = (2 * cov + 58.5225) / (va + vb + 58.5225)
        whole = (2 * ma * mb + 6.5025) / (ma**2 + mb**2 + 6.5025) * contrast
        out *= max((whole if scale == 4 else contrast).mean(), 0) ** weight
        halve = lambda x: (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4  # noqa: E731
        a, b = (a, b) if scale == 4 else (halve(a), halve(b))
    return out


@pytest.mark.parametrize("size", [16, 32, 64])
def test_ms_ssim_agrees_with_windows(size):
    x = smooth_images(7, size, 3)
    x[1] = (x[0] * 0.7 + 20).astype(np.uint8)
    want = [by_windows(x[i], x[i + 1]) for i in (0, 2, 4)]
    score = ms_ssim(x)
    assert score.value == pytest.approx(np.mean(want), rel=1e-9)
    assert score.error == pytest.approx(np.std(want) / math.sqrt(2)) and 0.1 < want[0] < 1
    assert score.name == "ms-ssim/images/n6/pairs3"


def test_ms_ssim_is_one_for_copies_and_lower_for_others():
    x = smooth_images(10, 48, 4)
    assert ms_ssim(x.repeat(2, 0)).value == pytest.approx(1, abs=1e-12)
    assert 0 <= ms_ssim(x).value < 0.6
    negative = np.stack([x[0], 255 - x[0]])
    assert ms_ssim(negative).value == 0
    with pytest.raises(JaxganError, match="images uint8"):
        ms_ssim(x / 255)


def test_path_length_leaves_out_a_hundredth_at_each_end():
    """The 1st percentile, lower, of 200 lengths is the second of them, and the 99th, higher, the last but one."""
    x = np.arange(200.0) ** 2
    score = ppl(np.random.default_rng(0).permutation(x), "w")
    assert score.name == "ppl-w/lpips/n200/end"
    assert score.value == pytest.approx(x[1:199].mean()) and score.error == pytest.approx(
        x[1:199].std(ddof=1) / 198**0.5
    )
    for bad in (x - 1, x * np.nan, x[:0], x[None]):
        with pytest.raises(JaxganError, match="not all finite and 0 or more"):
            ppl(bad, "z")


def test_psnr_is_its_definition():
    a = np.random.default_rng(0).integers(0, 246, (3, 5, 7, 3), np.uint8)
    b = a + np.array([0, 1, 10], np.uint8)[:, None, None, None]
    np.testing.assert_allclose(psnr(a, b), [np.inf, 20 * np.log10(255), 20 * np.log10(25.5)])
    c = a.copy()
    c[2, 0, 0, 0] += 9
    assert psnr(a, c)[2] == pytest.approx(10 * np.log10(255**2 * 105 / 81))
    for wrong in (a[:2], a[:, :4], a / 255):
        with pytest.raises(JaxganError):
            psnr(a, wrong)


def test_ssim_of_flat_images_is_that_of_their_means_and_of_windows_else():
    """Without variance the structure is 1: (2ab + c) / (a^2 + b^2 + c); else by sums over each window of 11 x 11."""
    flat = np.full((1, 12, 16, 3), 60, np.uint8)
    assert ssim(flat, 2 * flat)[0] == pytest.approx((2 * 60 * 120 + 6.5025) / (60**2 + 120**2 + 6.5025))
    a, b = smooth_images(2, 15, 1), smooth_images(2, 15, 2)
    at = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(at, at) / at.sum() ** 2

    def one(x, y):
        mx, my = (w * x).sum(), (w * y).sum()
        vx, vy, cov = (w * x * x).sum() - mx**2, (w * y * y).sum() - my**2, (w * x * y).sum() - mx * my
        return (2 * mx * my + 6.5025) * (2 * cov + 58.5225) / ((mx**2 + my**2 + 6.5025) * (vx + vy + 58.5225))

    places = [(i, j, c) for i in range(5) for j in range(5) for c in range(3)]
    for k in range(2):
        cut = [[np.float64(v[k, i : i + 11, j : j + 11, c]) for v in (a, b)] for i, j, c in places]
        assert ssim(a, b)[k] == pytest.approx(np.mean([one(*pair) for pair in cut]), rel=1e-9)
    np.testing.assert_allclose(ssim(a, a), 1)
