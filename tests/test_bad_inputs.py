"""What a user can get wrong, and the message that answers it: exit code 2, the culprit named, files as they were."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxgan
from bad import EXPERIMENT, make
from jaxgan import cli
from jaxgan.errors import JaxganError


def fingerprint(folder: Path) -> dict[str, str]:
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".lock"))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder as tests/bad.py fills it."""
    home = tmp_path_factory.mktemp("home")
    make(home)
    return home


@pytest.fixture(scope="module")
def files(home) -> list[dict[str, str]]:
    """What lies at home, as the last test left it."""
    return [fingerprint(home)]


T = "train experiments/ring.py --dir runs/new "
FOLDER = "--data folder:images --size "
EVAL = "eval --reference images --features raw --images "
RESUME = "train experiments/ring.py --dir runs/ok "
CASES = [  # command line, what the message must name
    ("trian experiments/ring.py", "train"),
    ("train", "experiments/ring.py"),
    ("train images", "no experiment images"),
    ("train a_file", "a_file is not a Python file"),
    ("train experiments/rnig.py", r"no experiment experiments/rnig.py.*experiments/ring.py"),
    ("train --steps 3 experiments/ring.py", "the experiment comes first"),
    ("train experiments/syntax.py", r"experiments/syntax.py.*SyntaxError"),
    ("train experiments/nothing.py", r"experiments/nothing.py.*config"),
    ("train experiments/wrong_type.py", r"experiments/wrong_type.py returns dict.*jaxgan.Config"),
    ("train experiments/raises.py", r"experiments/raises.py.*ZeroDivisionError"),
    ("train experiments/misspelt.py", r"experiments/misspelt.py.*'step'"),
    ("train experiments/bad_value.py", r"loss is 'hinges'.*hinge"),
    (T + "--stpes 3", "--steps"),
    (T + "--hp.g-rl 1e-3", "--hp.g-lr"),
    (T + "--loss hinges", "hinge"),
    (T + "--steps many", "--steps"),
    (T + "--steps 0", "steps is 0"),
    (T + "--seed -1", "seed is -1"),
    (T + "--seed 4294967296", "seed is 4294967296"),
    (T + "--hp.g-lr inf", "hp.g_lr is inf"),
    (T + "--coordinator 127.0.0.1:1234", "--processes is 0"),
    (T + "--coordinator localhost --processes 2 --process 0", "expected HOST:PORT"),
    (T + "--coordinator 127.0.0.1:1234 --processes 2 --process 2", "--process is 2; expected 0 to 1"),
    (T + "--processes 2 --process 0", "--coordinator is ''"),
    (T + "--hp.g-lr -0.1", "hp.g_lr is -0.1"),
    (T + "--hp.d-lr nan", "hp.d_lr is nan"),
    (T + "--hp.b1 1.0", "hp.b1 is 1.0"),
    (T + "--data ring9", r"'ring9'.*ring8"),
    (T + "--data sine", "did you mean sines"),
    (T + "--net conv1d", r"conv1d makes sequences.*shape \(2,\)"),
    (T + "--codes 3 0", "codes holds 0"),
    (T + "--space runs/ok", "space is '.*runs/ok', a run of kind 'plain', which is no autoencoder; vae"),
    (T + FOLDER + "16 --space sd-vae:x.safetensors", r"space is .*x.safetensors': there are no .* 334,643,276 bytes"),
    (T + "--space runs/nothing", "there is no run folder .*runs/nothing"),
    (T + "--space runs/vae:3", r"step 3|checkpoint"),
    (T + "--space runs/vae", "ring8 is a density, whose examples are new each time"),
    (T + FOLDER + "16 --space runs/vae", r"autoencoder of examples \(8, 8, 1\), .* are \(16, 16, 1\); take --size 8"),
    (T + FOLDER + "8 --space runs/vae --net dcgan", r"dcgan makes images.*In the space of .*runs/vae.*latents 2:"),
    (T + FOLDER + "8 --space runs/vae --patch 4", "patch is 4, but space is .*--augment translation"),
    (T + FOLDER + "8 --space runs/vae --kind pix2pix", "space is .*, but kind pix2pix has no use for it"),
    (T + "--posterior mean", "posterior is 'mean', but it belongs to space, and this run's space is empty"),
    (T + "--kind own", "jaxgan.games.KINDS"),
    (T + "--kind ssgan", "rotates square images"),
    (T + "--kind vae --d-steps 2", "d_steps is 2, but kind vae has no use for it: it has no discriminator"),
    (
        T + "--kind vae --loss hinge --hp.clip 0.1",
        "loss is 'hinge', but kind vae has no use for it",
    ),
    (T + "--kind bigan --loss mmd", "exchanges the two sides"),
    (T + "--kind aae --hp.path-length 2", "hp.path_length is 2, but kind aae has no use for it"),
    (T + "--kind lrgan --head ac", "has no class head"),
    (T + "--pool 50 --hp.zcr 1", "pool shows old ones"),
    (T + "--unroll 2 --accumulate 2", "foresees whole batches"),
    (T + "--pack 2 --accumulate 3", "packs of 2, 3 micro-batches of them"),
    (T + "--loss ragan --accumulate 2", "looks at the whole batch"),
    (T + "--hp.lecam 0.3 --accumulate 2", "looks at the whole batch"),
    (T + "--holdout 5", "ring8 is a density"),
    (T + "--data mnist5k --holdout 5000", "holdout is 5000.*keep some"),
    (T + "--data mnist5k --holdout 4999", "only 1 examples besides the 4999 held out"),
    (T + "--diagnose-every -1", "diagnose_every is -1"),
    ("diagnose runs/nowhere", "no run folder runs/nowhere"),
    ("diagnose empty", "no config.json"),
    ("diagnose runs/early", "no checkpoint yet"),
    ("diagnose runs/ok --held-out nothing", "unknown data 'nothing'"),
    ("diagnose runs/ok --held-out mnist5k", r"shape \(28, 28, 1\) and 10 classes"),
    ("diagnose runs/ok --heldout mnist5k", "--held-out"),
    (T + "--data mnist5k --net dcgan --size 41", "41"),
    (T + "--data mnist5k --batch 6000", r"batch is 6000.*5000"),
    (T + "--data folder:nowhere", "nowhere"),
    (T + "--data folder:empty", "empty"),
    (T + "--data folder:notes", "notes"),
    (T + "--data folder:a_file", "a_file"),
    (T + "--data folder:corrupt", r"torn\.png"),
    (T + "--data tfds:fashion_mnist --data-dir empty", r"jaxgan data prepare fashion_mnist --from"),
    (T + "--data gauss1d --kind conditional", r"no labels.*--kind plain"),
    (T + "--net dcgan", "dcgan"),
    (T + "--flip", "flip"),
    (T + "--loss rpgan --fake-batch 8", r"rpgan.*fake_batch=8"),
    (T + "--hp.wgan-gp 10 --fake-batch 8", r"wgan_gp.*fake_batch=8"),
    (T + "--writers wandb", r"pip install 'jaxgan\[wandb\]'"),
    (T + "--writers tensorboard", r"pip install 'jaxgan\[tensorboard\]'"),
    ("train experiments/ring.py --dir a_file", "a_file is a file"),
    ("train experiments/ring.py --dir a_file/run", "a_file/run"),
    ("train experiments/ring.py --dir runs/no_config", r"runs/no_config has checkpoints but no config\.json"),
    ("train experiments/ring.py --dir /proc/jaxgan", "/proc/jaxgan"),
    ("train experiments/ring.py --dir others", "thesis.tex"),
    (RESUME + "--hp.g-lr 0.5 --width 16", r"(?s)hp.g_lr: 0.0002 -> 0.5.*|width: 8 -> 16"),
    ("train experiments/ring.py --data folder:images --size 8 --net mlp --dir runs/images --steps 9", "fingerprint"),
    ("train experiments/ring.py --dir runs/no_env --steps 9", r"env\.json"),
    ("train experiments/ring.py --dir runs/torn --steps 9", r"runs/torn/config\.json"),
    ("train experiments/ring.py --dir runs/log --steps 9", r"metrics\.jsonl, line 2"),
    ("sample runs/nowhere", r"no run folder runs/nowhere"),
    ("sample others", "others is not a run folder"),
    ("sample runs/early", r"runs/early has no checkpoint yet"),
    ("sample runs/torn", r"runs/torn/config\.json"),
    ("sample runs/misspelt", r"'witdh'.*'width'"),
    ("sample runs/list", r"runs/list/config\.json"),
    ("sample runs/foreign", r"params\.\S+"),
    ("sample runs/no_env", r"env\.json"),
    ("sample runs/ok -n 0", "0 samples"),
    ("sample runs/ok --labels 3", "without labels"),
    ("sample runs/ok --truncation -1", "truncation is -1"),
    ("sample runs/ok --standing -1", "statistics of -1 batches; expected at least 1"),
    ("sample runs/ok --standing 2", "G has no batch norm"),
    ("sample runs/ok --psi nan", "psi is nan; expected a finite number"),
    ("sample runs/ok --psi 0.5", "net 'mlp' has no styles; --net stylegan2 and gat have"),
    ("sample runs/ok --psi 0.5 --interpolate", "--psi goes with plain samples"),
    ("sample runs/ok --traverse 0", "no code 0.*--kind infogan"),
    ("sample runs/ok --code 0=1", "no code 0"),
    ("sample runs/ok --code 0:1", "NUMBER=VALUE"),
    ("sample runs/ok --reconstruct", "'plain' has no encoder.*--kind bigan"),
    ("sample runs/ok --reconstruct --interpolate", "choose one of"),
    ("sample runs/ok --out /proc/grid.png", "cannot use /proc/grid.png"),
    ("sample runs/ok --out grid.jpg", r"grid\.jpg.*\.png"),
    ("sample runs/ok --out nowhere/grid.png", "no folder nowhere"),
    ("verify runs/nowhere", "no run folder runs/nowhere"),
    ("verify runs/no_digest", "no digest"),
    ("sample a_file", "a_file is not a run folder"),
    ("sample runs/bad_checkpoint", "none of the 1 checkpoints in .* is whole"),
    ("sample runs/bad_shape", r'env\.json.*shape is \["8"\]'),
    ("sample runs/bad_classes", r"env\.json.*classes is -1"),
    ("sample runs/bad_names", r"env\.json.*names is 5"),
    ("sample runs/bad_starts", r"env\.json"),
    ("sample runs/ok -n -3 --interpolate", "asked for 0 samples"),
    ("sample runs/ok --seed -1", "seed is -1; expected 0 to 4294967295"),
    ("sample runs/ok --step 99", "no checkpoint of step 99; there are those of: 4"),
    ("sample runs/ok --step last", "step is 'last'; expected a number of a checkpoint, or best"),
    ("sample runs/ok --step best", "no checkpoint in runs/ok was kept for being the best"),
    ("sample runs/ok --truncation nan", "truncation is nan"),
    ("sample runs/ok --traverse -2", "--traverse is -2"),
    ("sample runs/ok --walk 1 --out w.gif", "a walk by 1 latents"),
    ("sample runs/ok --out a_file", "--out is a_file, which is a file"),
    ("sample runs/ok --out a_file/x.png", "no folder a_file"),
    ("eval", "give a run folder"),
    ("eval runs/nowhere", "no run folder runs/nowhere"),
    ("eval a_file", "a_file is not a run folder"),
    ("eval runs/torn", r"runs/torn/config\.json"),
    ("eval runs/early", "no checkpoint yet"),
    ("eval runs/ok -n -1", "asked for -1 samples"),
    ("eval runs/ok --seed -1", "seed is -1"),
    ("eval runs/ok --step 9", "no checkpoint of step 9"),
    ("eval runs/ok --metrics fit", "Did you mean 'fid'"),
    ("eval runs/ok --metrics coverage", "no metric 'coverage'. It is a number of prdc"),
    ("eval runs/images --data folder:empty", "empty: no images"),
    (EVAL + "nowhere", "unknown data 'nowhere'"),
    (EVAL + "empty", "empty: no images"),
    (EVAL + "notes", r"notes: no images, 1 \.txt there"),
    (EVAL + "cut", r"cut: 1 of 1 files cannot be read: 7\.png"),
    (EVAL + "corrupt", r"torn\.png in corrupt cannot be read as an image"),
    (EVAL + "npy", r"cut\.npy in npy cannot be read as an image \(ValueError.*repair or remove it"),
    (EVAL + "wide", "images in wide are 10x20, 20x10 .width x height.; expected one size"),
    (EVAL + "cut.npz", r"cannot read arrays from cut\.npz \(damaged.*expected a whole \.npz or \.npy"),
    (EVAL + "words.npz", r"words\.npz \(it holds objects, or is no such file\); expected"),
    (EVAL + "objects.npz", r"objects\.npz \(it holds objects, or is no such file\); expected"),
    (EVAL + "other.npz", r"other\.npz holds z; expected images under x"),
    (EVAL + "nowhere.npz", r"nowhere\.npz \(No such file"),
    (EVAL + "whole.npz -n -2", "n is -2"),
    (EVAL + "whole.npz --size -2", "got '-2'"),
    ("eval --images whole.npz --reference mnist5k --features digits-cnn --weights cut.npz", r"digits-cnn.*cut\.npz"),
    ("project runs/nowhere images/0.png", "no run folder runs/nowhere"),
    ("project runs/images", "which images"),
    ("project runs/images nowhere.png", r"no image nowhere\.png"),
    ("project runs/images a_file", "a_file: is not a folder, zip or tar"),
    ("project runs/images empty", "empty: no images"),
    ("project runs/images cut/7.png", r"7\.png cannot be read as an image \(OSError: .*truncated"),
    ("project runs/images corrupt", r"torn\.png cannot be read as an image"),
    ("project runs/images images/0.png --steps 0", "steps is 0"),
    ("project runs/images images/0.png --starts -1", "starts is -1"),
    ("project runs/images images/0.png --step 9", "no checkpoint of step 9"),
    ("project runs/images images/0.png --labels 3", "trained without labels"),
    ("project runs/images images/0.png --out x.jpg", r"x\.jpg; expected a name that ends in \.png"),
    ("project runs/images images/0.png --out nowhere/x.png", "no folder nowhere"),
    ("project runs/images images/0.png --out /proc/x.png", r"cannot use /proc/x\.png"),
    ("project runs/ok images/0.png", r"shape \(2,\)"),
    ("report", "which runs"),
    ("report runs/nowhere", "no run folder runs/nowhere"),
    ("report a_file", "a_file is not a run folder"),
    ("report runs/torn", r"runs/torn/config\.json"),
    ("report runs/log", r"metrics\.jsonl, line 2"),
    ("report runs/bad_starts", r"env\.json"),
    ("report runs/bad_eval", r"4\.json is no evaluation.*remove it, or bring it back"),
    ("report runs/bad_picture", r"00000002\.png cannot be read .*remove it, or bring it back"),
    ("report runs/bad_overrides", r"overrides\.json"),
    ("report runs/ok --out x.txt", r"x\.txt; expected a name that ends in \.html"),
    ("report runs/ok --out nowhere/x.html", "in a folder that there is"),
    ("report runs/ok --out /proc/x.html", r"cannot use /proc/x\.html"),
    ("export runs/nowhere", "no run folder runs/nowhere"),
    ("export runs/torn", r"runs/torn/config\.json"),
    ("export runs/early", "no checkpoint yet"),
    ("export runs/ok --step 9", "no checkpoint of step 9"),
    ("export runs/ok --formats", "which formats"),
    ("export runs/ok --out a_file", "--out is a_file, which is a file"),
    ("export runs/ok --out /proc/x", "cannot use /proc/x"),
    ("verify a_file", "a_file is not a run folder"),
    ("verify runs/torn", r"runs/torn/config\.json"),
    ("verify runs/log", r"metrics\.jsonl, line 2"),
    ("verify runs/bad_overrides", r"overrides\.json"),
    ("verify runs/ok --steps -1", "no digest up to step -1"),
    ("verify runs/ok --step 9", "no checkpoint of step 9"),
    ("verify runs/images --data mnist5k", "the data 'mnist5k' are not what"),
    ("diagnose a_file", "a_file is not a run folder"),
    ("diagnose runs/torn", r"runs/torn/config\.json"),
    ("diagnose runs/log", r"metrics\.jsonl, line 2"),
    ("diagnose runs/bad_checkpoint", "none of the 1 checkpoints"),
    ("data stats nowhere", "unknown data 'nowhere'"),
    ("data stats folder:empty", "empty: no images"),
    ("data stats folder:cut", r"7\.png: OSError"),
    ("data stats folder:images --size -2", "got '-2'"),
    ("data stats ring8", "compared as it is"),
    ("data stats mnist5k --weights cut.npz", r"cut\.npz"),
    ("data prepare mnist --from a_file --data-dir tfds", "a_file is not a folder"),
    ("plan experiments/ring.py --classes 3", "--classes goes with --shape"),
    ("plan experiments/ring.py --shape 64", "HEIGHTxWIDTHxCHANNELS"),
    (T + "--data stacked:ring8", "stacked:mnist5k or stacked:tfds:mnist"),
    (T + "--net progan --progan.base 2", "progan.base is 2; expected 4 or more"),
    ("data prepare emoji --from empty --data-dir tfds", r"lacks emoji\.json"),
    ("data prepare fashion_mnits --from empty", "fashion_mnist"),
    ("data prepare fashion_mnist --from empty --data-dir tfds", "train-images-idx3-ubyte"),
    ("data prepare mnist --from nowhere --data-dir tfds", "nowhere"),
]


@pytest.mark.parametrize(("command", "named"), CASES, ids=[c[:60] for c, _ in CASES])
def test_one_clear_message(home, files, command, named, monkeypatch, capsys):
    monkeypatch.chdir(home)
    monkeypatch.setitem(sys.modules, "wandb", None)  # as where they are not installed
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(SystemExit) as stopped:
        cli.main(command.split())
    before, files[0] = files[0], fingerprint(home)
    out, err = capsys.readouterr()
    assert stopped.value.code == 2, out + err
    plain = re.sub(r"[│╭╮╰╯─]+|\x1b\[[0-9;]*m", " ", err)
    assert re.search(named, re.sub(r"\s+", " ", plain)) or re.search(named, plain), err
    assert "Traceback" not in err
    assert "site-packages" not in err
    assert len(plain.strip().splitlines()) <= 25
    assert files[0] == before, "files were changed, or left over"


IMAGES = np.zeros((32, 8, 8, 1), np.uint8)
POINTS = np.zeros((32, 2), np.float32)


def with_value(array, at, value):
    array = np.array(array, np.float32)
    array[at] = value
    return array


ARRAYS = [  # arguments of fit, what the message must name
    ({"images": with_value(POINTS, (3, 1), np.nan)}, "row 3"),
    ({"images": with_value(POINTS, (5, 0), np.inf)}, "row 5"),
    ({"images": with_value(IMAGES, (2, 0, 0, 0), 255)}, r"\[-1, 1\]"),
    ({"images": IMAGES + np.float32(0.5)}, r"2 ?\* ?x ?- ?1"),
    ({"images": IMAGES[0, 0, 0]}, "shape"),
    ({"images": IMAGES[:0]}, "empty|no examples|0"),
    ({"images": IMAGES, "labels": np.zeros(31, int)}, "31"),
    ({"images": IMAGES, "labels": np.full(32, -1)}, "-1|negative"),
    ({"images": IMAGES, "labels": np.zeros(32, float)}, "float"),
    ({"images": IMAGES, "stpes": 3}, r"'stpes'.*'steps'"),
    ({"images": IMAGES, "lr": 3}, "'lr'"),
    ({"images": IMAGES, "steps": 2.5}, "steps is 2.5"),
    ({"images": np.zeros((32, 11, 11, 1), np.uint8)}, "dcgan makes images .* set size to 12 or 10"),
    ({"images": POINTS, "net": "dcgan"}, "dcgan"),
    ({"images": POINTS, "kind": "conditional"}, "no labels"),
    ({"images": POINTS, "batch": 64}, "batch is 64"),
    ({"images": POINTS, "size": 8}, r"size is 8, but rows of shape \(2,\) are no images"),
    ({"images": IMAGES, "size": 2.5}, "size must be a number of pixels"),
    ({"images": IMAGES, "data": "mnist5k"}, "no use for data"),
    ({"images": IMAGES, "label": "hat"}, "no use for label"),
    ({"images": np.array(["a", "b"])}, "type|dtype"),
]


@pytest.mark.parametrize(("arguments", "named"), ARRAYS, ids=[n for _, n in ARRAYS])
def test_arrays_that_do_not_fit(arguments, named):
    with pytest.raises(JaxganError, match=named):
        jaxgan.fit(**arguments, quiet=True)


def test_labels_out_of_range_when_sampling():
    trained = jaxgan.fit(POINTS, np.arange(32) % 3, steps=1, width=4, latent=2, quiet=True)
    with pytest.raises(JaxganError, match=r"\[0, 3\].*0 to 2"):
        trained.sample(2, labels=[0, 3])
    with pytest.raises(JaxganError, match="expected 2 whole numbers"):
        trained.sample(2, labels=[0, 1, 2])


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("train experiments/rnig.py", "Did you mean 'experiments/ring.py'"),
        ("train experiments/ring.py --data folder:corrupt --dir runs/new", "torn.png"),
        ("train experiments/ring.py --dir runs/ok --hp.g-lr 0.5", "hp.g_lr: 0.0002 -> 0.5"),
        ("sample runs/foreign", "does not fit this run"),
    ],
)
def test_in_a_true_process(home, command, named):
    """With nothing beside the message, as a library that writes past Python would."""
    words = [sys.executable, "-m", "jaxgan", *command.split()]
    done = subprocess.run(words, cwd=home, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("jaxgan: ") and done.stderr.count("jaxgan: ") == 1 and named in done.stderr
    assert not (home / "runs/new").exists()


def test_batch_that_devices_do_not_divide(tmp_path):
    code = "import jax; jax.config.update('jax_num_cpu_devices', 3); from jaxgan.cli import main; main()"
    (tmp_path / "ring.py").write_text(EXPERIMENT)
    command = [sys.executable, "-c", code, "train", "ring.py", "--dir", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.search(r"batch 16 cannot be split over 3 devices.*--batch 15", done.stderr)
    assert "Traceback" not in done.stderr
