"""What Windows and macOS lack is not needed, or asked for first; text is UTF-8 everywhere."""

import ast
import signal
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import jaxgan
from jaxgan import log, signals
from jaxgan.errors import JaxganError

ROOT = Path(jaxgan.__file__).parent
MISSING = {
    "SIGUSR1",
    "SIGUSR2",
    "SIGHUP",
    "SIGKILL",
    "SIGALRM",
    "fork",
    "kill",
    "killpg",
    "getuid",
    "symlink",
    "mkfifo",
}
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "pty"}
TEXT = {"read_text": 0, "write_text": 1}  # before which argument the encoding comes


def has_encoding(call):
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    named = any(word.arg == "encoding" for word in call.keywords)
    if name in TEXT:
        return named or len(call.args) > TEXT[name]
    modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    text = name == "open" and bool(modes) and modes[-1] in ("r", "w", "a", "x", "r+", "w+", "a+")
    return named or not text


def faults(path):
    """What a file takes for granted that is not everywhere, with its line."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        line = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Attribute) and node.attr in MISSING:
            yield f"{line}: {node.attr} is not everywhere"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {getattr(node, "module", None) or "", *(alias.name for alias in node.names)}
            yield from (f"{line}: {name} is a module of Unix" for name in names & MODULES)
        if isinstance(node, ast.Call) and not has_encoding(node):
            yield f"{line}: the encoding of a text file is the system's"
        if isinstance(node, ast.Constant) and str(node.value).startswith(("/proc", "/dev")):
            yield f"{line}: {node.value} is not everywhere"


def test_nothing_is_taken_for_granted(tmp_path):
    assert [fault for path in sorted(ROOT.rglob("*.py")) for fault in faults(path)] == []
    bad = ["import fcntl", "os.kill(1, 2)", "path.read_text()", "open(p, 'w')", "open('/proc/meminfo', 'rb')"]
    (tmp_path / "bad.py").write_text("\n".join(bad), "utf-8")
    assert sorted(fault.split(":")[1] for fault in faults(tmp_path / "bad.py")) == ["1", "2", "3", "4", "5"]


def test_training_needs_no_sigusr1(monkeypatch):
    monkeypatch.delattr(signal, "SIGUSR1")
    before = signal.getsignal(signal.SIGTERM)
    with signals.Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    points = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
    assert int(jaxgan.fit(points, steps=1, width=4, latent=2, batch=8, quiet=True).state.step) == 1


@pytest.mark.parametrize(
    "login, mode, message",
    [
        (lambda prompt: True, "online", None),
        (lambda prompt: False, "online", r"no key is known.*wandb login.*WANDB_MODE=offline"),
        (lambda prompt: False, "offline", None),
        (lambda prompt: 1 / 0, "online", r"cannot write to an account \(division by zero\)"),
        (lambda: None, "online", "no key is known"),  # an old version, which would ask
    ],
)
def test_wandb_is_asked_before_a_run_begins(monkeypatch, login, mode, message):
    fake = types.ModuleType("wandb")
    fake.login, fake.api = login, types.SimpleNamespace(api_key=None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_MODE", mode)
    if message is None:
        log.check_writers(("wandb",))
        return
    with pytest.raises(JaxganError, match=message):
        log.check_writers(("wandb",))
