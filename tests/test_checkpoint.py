"""Damaged, foreign and unwritable checkpoints; non-finite numbers; one process to a folder."""

import contextlib
import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan import checkpoint, train
from jaxgan.config import Config, Hp
from jaxgan.errors import JaxganError
from processes import ENDLESS, digests, log_file, rows, steps_saved
from runs import command

RUN = Config(
    net="mlp",
    data="ring8",
    latent=2,
    width=16,
    depth=1,
    batch=16,
    steps=30,
    log_every=10,
    sample_every=0,
    checkpoint_every=10,
    chunk=10,
    hp=Hp(g_lr=1e-3, d_lr=1e-3),
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "tiny.py"
    path.write_text(f"from jaxgan import Config, Hp\ndef config():\n    return {RUN!r}\n")
    return path


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A run with checkpoints at 10, 20 and 30; read only."""
    dir = tmp_path_factory.mktemp("original") / "run"
    train.run(RUN, dir, quiet=True)
    assert steps_saved(dir) == [10, 20, 30]
    return dir


@pytest.fixture
def dir(original, tmp_path):
    return shutil.copytree(original, tmp_path / "run")


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(folder):
    largest(folder).write_bytes(largest(folder).read_bytes()[:-100])


def flip_byte(folder):
    data = bytearray(largest(folder).read_bytes())
    data[len(data) // 2] ^= 0xFF
    largest(folder).write_bytes(data)


def remove_manifest(folder):
    (folder / "state" / "manifest.ocdbt").unlink()


def remove_meta(folder):
    shutil.rmtree(folder / "meta")


def remove_structure(folder):
    (folder / "state" / "_METADATA").unlink()


def garble_meta(folder):
    (folder / "meta" / "metadata").write_text("{")


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def other_digest(folder):
    path = folder / "meta" / "metadata"
    meta = json.loads(path.read_text())
    path.write_text(json.dumps({**meta, "digest": "0" * 64}))


DAMAGES = [truncate, flip_byte, remove_manifest, remove_meta, remove_structure, garble_meta, empty, other_digest]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(original, dir, damage, capsys):
    newest = dir / "checkpoints" / "00000030"
    damage(newest)
    kept = files(newest)
    assert int(jaxgan.load(dir).state.step) == 20  # which changes nothing
    assert files(newest) == kept
    capsys.readouterr()
    trained = train.run(RUN, dir)
    out = capsys.readouterr().out
    assert "checkpoint 30 is damaged" in out and f"keeping it in {dir / 'damaged' / '00000030'}" in out
    assert f"resuming {dir} from step 20 to 30" in out
    assert files(dir / "damaged" / "00000030") == kept
    # and the run ends where it would have, bit for bit
    assert int(trained.state.step) == 30 and digests(dir) == digests(original)
    assert rows(dir) == rows(original)
    assert int(jaxgan.load(dir).state.step) == 30


def test_a_wrong_digest_is_what_is_reported(dir, capsys):
    other_digest(dir / "checkpoints" / "00000030")
    train.run(RUN, dir)
    assert "its contents differ from its digest" in capsys.readouterr().out


def test_without_any_whole_checkpoint_nothing_is_touched(dir):
    for step, damage in zip((10, 20, 30), (empty, truncate, remove_meta)):
        damage(dir / "checkpoints" / f"{step:08d}")
    before = files(dir / "checkpoints")
    for _ in range(2):  # the second start must not take an empty folder for a new run
        with pytest.raises(JaxganError, match=r"none of the 3 checkpoints in .* is whole.*another --dir"):
            train.run(RUN, dir, quiet=True)
        assert files(dir / "checkpoints") == before
        assert max(digests(dir)) == 30
    with pytest.raises(JaxganError, match="none of the 3 checkpoints"):
        jaxgan.load(dir)


def test_a_foreign_checkpoint_names_the_array(dir, tmp_path):
    train.run(dataclasses.replace(RUN, width=24), tmp_path / "wide", quiet=True)
    shutil.rmtree(dir / "checkpoints")
    shutil.copytree(tmp_path / "wide" / "checkpoints", dir / "checkpoints")
    before = files(dir / "checkpoints")
    for start in (lambda: train.run(RUN, dir, quiet=True), lambda: jaxgan.load(dir)):
        with pytest.raises(JaxganError, match=r"00000030 does not fit this run: \S+ is \(24,\) there and \(16,\) here"):
            start()
    assert files(dir / "checkpoints") == before


def test_a_checkpoint_of_another_structure_names_the_array(dir, tmp_path):
    train.run(dataclasses.replace(RUN, depth=2), tmp_path / "deep", quiet=True)
    shutil.rmtree(dir / "checkpoints")
    shutil.copytree(tmp_path / "deep" / "checkpoints", dir / "checkpoints")
    with pytest.raises(JaxganError, match=r"does not fit this run: \S*Dense_\S+ is "):
        train.run(RUN, dir, quiet=True)


def test_a_number_that_an_earlier_version_did_not_know_has_its_default(dir):
    fields = checkpoint.to_host(jaxgan.load(dir).state)
    older = {**fields, "hp": {n: x for n, x in fields["hp"].items() if n not in ("noise", "top_k")}}
    with contextlib.closing(checkpoint.Checkpoints(dir / "checkpoints", keep=3)) as saved:
        saved.save(40, older, checkpoint.digest(older))
    with contextlib.closing(checkpoint.Checkpoints(dir / "checkpoints", keep=3)) as saved:
        newer = saved.restore(fields)
    assert steps_saved(dir)[-1] == 40
    assert (newer["hp"]["noise"], newer["hp"]["top_k"]) == (0, 1) and newer["hp"]["noise"].dtype == np.float32
    assert checkpoint.digest(newer) == checkpoint.digest(fields)


def test_only_the_newest_are_kept(tmp_path):
    train.run(dataclasses.replace(RUN, keep=2, steps=40), tmp_path / "run", quiet=True)
    assert steps_saved(tmp_path / "run") == [30, 40]


def test_restored_arrays_have_the_bits_of_the_saved(original):
    fields = checkpoint.to_host(jaxgan.load(original).state)
    assert checkpoint.digest(fields) == digests(original)[30]
    again = checkpoint.to_host(checkpoint.from_host(fields))
    assert checkpoint.digest(again) == digests(original)[30]
    assert jax.tree.structure(again) == jax.tree.structure(fields)


def assert_refused(child, dir, reason):
    """Exit code 2 and one message on stderr, the last line; nothing of the library's inside."""
    assert child.wait() == 2, child.text
    assert child.text.count("jaxgan: ") == 1
    assert child.text.splitlines()[-1].startswith("jaxgan: ")
    assert reason in child.text.splitlines()[-1] and str(dir) in child.text.splitlines()[-1]
    assert "run the same command again to resume" in child.text
    for word in ("Traceback", "Error", "orbax.", "tensorstore"):
        assert word not in child.text


def test_a_full_disk(server, experiment, tmp_path, capfd):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        dir, args = disk / "run", ["--keep", "100", "--checkpoint-every", "5"]
        child = server.start("train", experiment, "--dir", dir, *args, "--steps", "1000")
        assert_refused(child, dir, "No space left on device")
        kept = steps_saved(dir)
        assert kept
        assert int(jaxgan.load(dir).state.step) == kept[-1]
        # still full: the same again, and nothing is lost
        assert command("train", experiment, "--dir", dir, *args, "--steps", "1000") == 2
        text = "".join(capfd.readouterr())
        assert "No space left on device" in text and "Traceback" not in text
        assert int(jaxgan.load(dir).state.step) >= kept[-1]
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        last = str(steps_saved(dir)[-1] + 20)
        for run in (dir, tmp_path / "alone"):
            assert command("train", experiment, "--dir", run, *args, "--steps", last) == 0, capfd.readouterr()
        assert rows(dir) == rows(tmp_path / "alone")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_system_that_becomes_read_only(server, experiment, original, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        dir = shutil.copytree(original, disk / "run")
        before = files(dir)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        child = server.start("train", experiment, "--dir", dir, "--steps", "60")
        assert child.wait() == 2
        assert child.text == f"jaxgan: cannot write to {dir} (Read-only file system); choose another --dir\n"
        assert files(dir) == before
        assert int(jaxgan.load(dir).state.step) == 30
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_write_that_fails_without_any_mount(dir, capfd):
    """A limit on the size of files stands for a quota."""
    before, limits = files(dir / "checkpoints"), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len((dir / "metrics.jsonl").read_bytes()) + 900, limits[1]))
        with pytest.raises(JaxganError, match="File too large"):
            train.run(dataclasses.replace(RUN, steps=300), dir, quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert {name: data for name, data in files(dir / "checkpoints").items() if name in before} == before
    assert "Traceback" not in capfd.readouterr().err
    train.run(dataclasses.replace(RUN, steps=40), dir, quiet=True)
    assert max(digests(dir)) == 40


def torn(dir):
    """Files of a checkpoint that is being written; None without one."""
    folders = list((dir / "checkpoints").glob("*tmp*"))
    return sum(len(found) for folder in folders for _, _, found in os.walk(folder)) if folders else None


def test_killed_inside_a_save(server, experiment, tmp_path, capfd):
    """Whatever is there of the new checkpoint, the last committed one opens, and the torn one is cleared away."""
    dir = tmp_path / "run"
    for parts in (0, 1, 4):
        args, old = ["--dir", dir, "--width", "512", "--checkpoint-every", "20"], log_file(dir)
        child = server.start("train", experiment, *args, "--steps", ENDLESS)

        def inside(parts=parts, old=old):  # a save of this process, which has cleared away what the last one left
            return log_file(dir) != old and torn(dir) is not None and torn(dir) >= parts

        assert child.freeze(inside), child.text
        child.signal(signal.SIGKILL)
        assert child.wait() == -9 and torn(dir) >= parts
        if steps_saved(dir):
            assert int(jaxgan.load(dir).state.step) == steps_saved(dir)[-1]
    end = str(max(steps_saved(dir), default=0) + 20)
    assert command("train", experiment, "--dir", dir, "--steps", end, "--width", "512") == 0
    assert "damaged" not in capfd.readouterr().out
    assert torn(dir) is None


@pytest.mark.parametrize("lr", [3e3, 1e38])
def test_non_finite_numbers_stop_the_run(tmp_path, lr, capsys):
    c = dataclasses.replace(RUN, loss="wasserstein", optimizer="sgd", steps=500, chunk=7, checkpoint_every=1, keep=2)
    c = dataclasses.replace(c, hp=Hp(g_lr=lr, d_lr=lr))
    messages = []
    for _ in range(2):
        with pytest.raises(JaxganError) as error:
            train.run(c, tmp_path / "run", quiet=True)
        messages.append(str(error.value))
        saved = steps_saved(tmp_path / "run")
    assert messages[0] == messages[1]
    first = int(messages[0].split("non-finite at step ")[1].split(";")[0])
    named = messages[0].split(" became")[0].split(", ")
    assert set(named) <= {"d_loss", "d_real", "d_fake", "d_grad", "g_loss", "g_grad"}
    # the very step: its own numbers are bad and those of the step before were good
    good = [row for row in rows(tmp_path / "run") if "digest" in row]
    assert [row["step"] for row in good][-1:] == saved[-1:]
    assert saved == [] or saved[-1] == first - 1
    kept = f"the checkpoint of step {first - 1} is kept" if saved else "there was no checkpoint yet"
    assert kept in messages[0] and "in a new --dir" in messages[0]
    if saved:
        for leaf in jax.tree.leaves(checkpoint.to_host(jaxgan.load(tmp_path / "run").state)):
            assert np.isfinite(leaf).all()


def test_non_finite_is_found_at_its_step_inside_a_dispatch(tmp_path):
    """However many steps a dispatch has: the step is that of single steps."""
    steps = set()
    for chunk in (1, 50):
        c = dataclasses.replace(RUN, loss="wasserstein", optimizer="sgd", steps=500, chunk=chunk, checkpoint_every=500)
        with pytest.raises(JaxganError, match="there was no checkpoint yet") as error:
            train.run(
                dataclasses.replace(c, log_every=500, hp=Hp(g_lr=1e2, d_lr=1e2)), tmp_path / str(chunk), quiet=True
            )
        steps.add(str(error.value).split("non-finite at step ")[1].split(";")[0])
    assert len(steps) == 1 and 1 < int(steps.pop()) < 50


def test_one_process_to_a_folder(server, experiment, tmp_path, capfd):
    dir = tmp_path / "run"
    first = server.start("train", experiment, "--dir", dir, "--steps", ENDLESS)
    assert first.until(lambda: digests(dir)), first.text
    capfd.readouterr()
    assert command("train", experiment, "--dir", dir, "--steps", 10) == 2
    told = f"jaxgan: another process is training in {dir}; wait for it, or choose another --dir\n"
    assert capfd.readouterr() == ("", told)
    first.signal(signal.SIGKILL)
    assert first.wait() == -9
    last = max(steps_saved(dir), default=0) + 10
    assert command("train", experiment, "--dir", dir, "--steps", last) == 0, capfd.readouterr()  # it holds nothing


def test_saves_of_two_threads_start_one_after_the_other(tmp_path):
    """Orbax has one number for all saves that start: two that did at once wrote into folders not made yet."""
    fields, inside, together = {"hp": {}, "params": {"w": np.ones(3, np.float32)}}, [], []

    def save_all(dir):
        with contextlib.closing(checkpoint.Checkpoints(dir, keep=2)) as saved:
            start = saved.manager.save

            def watched(*args, **kwargs):
                inside.append(dir)
                time.sleep(0.01)  # for the other to come
                together.append(len(inside))
                started = start(*args, **kwargs)
                inside.remove(dir)
                return started

            saved.manager.save = watched
            for step in range(1, 6):
                saved.save(step, fields, "")

    dirs = [tmp_path / name for name in "ab"]
    threads = [threading.Thread(target=save_all, args=(dir,)) for dir in dirs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1] * 10
    for dir in dirs:
        assert sorted(int(path.name) for path in dir.iterdir()) == [4, 5]
