"""The shape of the code: who imports whom, what is imported late, how long things are, and what is never used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxgan

ROOT = Path(jaxgan.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# a module imports from the rows above it only; a name without a file yet is a place kept free
ROWS = [
    [
        "errors",
        "disk",
        "types",
        "fields",
        "hp",
        "options",
        "config",
        "unused",
        "rng",
        "kernels",
        "backend",
        "convolution",
        "hlo",
    ],
    ["losses", "penalties", "augment", "optim", "nets", "data", "metrics", "features"],
    ["step", "solvers"],
    ["games"],
    [
        "changes",
        "parallel",
        "checkpoint",
        "log",
        "plots",
        "run_folder",
        "signals",
        "program",
        "state",
        "run",
        "transfer",
        "latent_space",
        "encoded",
        "latents",
        "project",
        "standing",
        "paths",
        "inline",
        "inputs",
        "outputs",
        "override",
        "protocol",
        "translations",
    ],
    ["theory"],
    ["evaluate", "export", "looks", "train", "verify", "diagnose", "plan", "draw"],
    ["sweep", "report"],
    ["experiment", "commands", "help", "cli", "__main__"],
]
APART = 1  # in this row not even neighbours import each other: flat tables of functions
ROW = {name: i for i, row in enumerate(ROWS) for name in row}
LATE = {"tensorflow_datasets", "grain", "orbax", "matplotlib", "PIL", "wandb", "tensorboardX"}
LATE |= {"plotly", "optuna", "ray", "submitit", "av"}
NEVER = {"eval", "exec", "compile", "__import__"}


def parse(path):
    return ast.parse(path.read_text(), str(path))


def module(path):
    """The dotted name of a file, without a last __init__."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path) for path in FILES}


def imported(path, nodes=None):
    """Full dotted names that a file imports; `from a import b` counts as a.b where that is a module, else as a."""
    names = set()
    for node in ast.walk(parse(path)) if nodes is None else nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in MODULES or node.module == "jaxgan" else node.module)
    return names


def unit(name):
    """The part of the package that a dotted name belongs to: jaxgan.nets.mlp -> nets; "" for anything else."""
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] if first == "jaxgan" else ""


def edges():
    """(importing unit, imported unit, file) over all files, late imports included."""
    for path in FILES:
        here = unit(module(path))
        for name in imported(path):
            there = unit(name)
            # the package itself offers its version and public names
            if here and there and there != here and f"jaxgan.{there}" in MODULES:
                yield here, there, path.relative_to(ROOT.parent)


def top_level(tree):
    """Statements that run when a module is imported: not those inside functions."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)


def test_every_module_has_its_row():
    units = {unit(name) for name in MODULES} - {""}
    assert units <= set(ROW), "say in ROWS where the new module stands"


def test_modules_import_from_the_rows_above_only():
    found = sorted(set(edges()))
    assert len(found) > 30
    for here, there, path in found:
        assert (here, there) != ("theory", "plots"), f"{path} imports plots: theory computes, others draw"
        assert ROW[there] <= ROW[here], f"{path} imports {there}, which stands below it"
        assert not ROW[there] == ROW[here] == APART, f"{path} imports {there}, its neighbour"


def test_files_import_in_no_circle():
    """Late imports count too: one that hides a circle still is one. A package's own __init__ imports its files."""
    graph = {module(path): {name for name in imported(path) if name in MODULES} - {module(path)} for path in FILES}
    assert sum(map(len, graph.values())) > 200
    done, trail = set(), []

    def visit(name):
        assert name not in trail, f"imports in a circle: {' -> '.join([*trail[trail.index(name) :], name])}"
        if name not in done:
            trail.append(name)
            for other in sorted(graph[name]):
                visit(other)
            done.add(trail.pop())

    for name in sorted(graph):
        visit(name)


def test_only_nets_know_flax():
    users = {unit(module(p)) for p in FILES if any(n.partition(".")[0] == "flax" for n in imported(p))}
    assert users == {"nets"}


def test_nothing_imports_experiments_or_tests():
    assert not [p for p in FILES for n in imported(p) if n.partition(".")[0] in {"experiments", "tests"}]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_size_and_safety(path):
    tree = parse(path)
    lines = path.read_text().count("\n")
    assert lines <= 400, f"{lines} lines"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in NEVER, f"line {node.lineno} calls {name}"
            for keyword in node.keywords:
                allowed = keyword.arg != "allow_pickle" or ast.unparse(keyword.value) == "False"
                assert allowed, f"line {node.lineno} allows pickle"
    roots = {n.partition(".")[0] for n in imported(path)}
    assert not roots & {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
    early = {n.partition(".")[0] for n in imported(path, top_level(tree))}
    assert not early & LATE, f"imports {early & LATE} before it is needed"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is(path):
    assert not path.read_text().strip() or ast.get_docstring(parse(path))


def modules_after(code):
    """Top-level packages in sys.modules after code has run in a fresh process."""
    code = f"import sys\n{code}\nprint('\\n' + ' '.join({{m.partition('.')[0] for m in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return set(result.stdout.splitlines()[-1].split())


def test_starts_without_jax():
    loaded = modules_after("import jaxgan; jaxgan.Config; jaxgan.Hp; jaxgan.JaxganError")
    assert "jaxgan" in loaded
    assert not loaded & {"jax", "flax", "optax", *LATE}


RING = ROOT.parent / "experiments" / "ring.py"


@pytest.mark.parametrize(
    "words",
    [[], ["train"], ["sample"], ["train", str(RING)], ["sweep", str(RING)], ["plan", str(RING), "--help-all"]],
    ids=lambda w: " ".join(w)[-15:],
)
def test_help_answers_without_jax(words):
    """Whose import would take longer than the answer."""
    loaded = modules_after(
        "import io, contextlib, jaxgan.cli\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):\n"
        f"    try: jaxgan.cli.main({[*words, '--help']})\n"
        "    except SystemExit as end: assert not end.code\n"
        "assert 'usage' in out.getvalue().lower()"
    )
    assert not loaded & {"jax", "flax", "optax", *LATE}


def test_training_and_sampling_load_only_what_they_use():
    loaded = modules_after("from jaxgan import fit, load, run")
    assert "jax" in loaded
    assert not loaded & LATE


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'traim'"):
        jaxgan.traim  # noqa: B018
    assert all(getattr(jaxgan, name) for name in jaxgan.__all__)
