"""--help shows what acts in an experiment, under the part that it belongs to; --help-all everything."""

import re

import pytest

from jaxgan import cli
from jaxgan.config import Config
from jaxgan.fields import facts
from jaxgan.hp import Hp

FLAGS = {f"--{name.replace('_', '-')}" for name in [*facts(Config), *(f"hp.{name}" for name in facts(Hp))]}
TINY = """"What it shows."
from jaxgan import Config, Hp
def config(): return Config(net="mlp", width=5, latent=2, data="ring8", hp=Hp(g_lr=((0.5, 0.25, 8),), r1=0.125))
"""


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """words -> {heading: {flag: what stands beside it}}, and the whole text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(TINY)

    def ask(*words, command="train"):
        cli.main([command, "tiny.py", *words])
        text, groups = capsys.readouterr().out, {}
        for part in text.split("\n\n")[2:-2]:
            heading, _, rows = part.partition("\n")
            assert heading not in groups
            found = re.findall(r"^  --(\[no-\])?(\S+) (.*(?:\n {34}.*)*)", rows, re.M)
            groups[heading] = {f"--{name}": " ".join(row.split()) for _, name, row in found}
        return groups, text

    return ask


def test_what_acts_stands_under_its_owner(shown):
    groups, text = shown("--help")
    assert text.startswith("usage: jaxgan train tiny.py") and "What it shows." in text
    assert next(iter(groups)) == "parts" and not {"loss hinge", "kind ebgan", "kind plain"} & set(groups)
    assert set(groups["loss ns"]) == {"--hp.real-target"}
    own = {f"--mlp.{name}" for name in ("pieces", "d-width", "d-depth", "init")}
    assert set(groups["net mlp"]) == {"--depth"} | own and groups["parts"]["--width"].startswith("5 ")
    assert groups["hp.r1"]["--hp.r1"].startswith("0.125 ") and set(groups["hp.r1"]) == {
        "--hp.r1",
        "--lazy",
        "--lazy-steps",
    }
    assert groups["generator"]["--hp.g-lr"] == "0.5:0.25:8 Learning rate of the generator."
    assert (
        groups["parts"]["--optimizer"].split()[0] == "adam"
        and "One of adam, sgd, rmsprop." in groups["parts"]["--optimizer"]
    )
    assert groups["train"]["--dir"].split()[0] == "runs/tiny" and "Run folder" in groups["train"]["--dir"]
    assert "--hp.r2" in text.split("\n\n")[-2] and "--hp.margin" not in text


@pytest.mark.parametrize(
    "words", [(), ("--kind", "ebgan"), ("--kind", "vae"), ("--hp.lecam", "1", "--solver", "lookahead")]
)
def test_every_flag_is_shown_once_or_counted(shown, words):
    groups, text = shown(*words, "-h")
    flags = [flag for rows in groups.values() for flag in rows if flag in FLAGS]
    assert len(flags) == len(set(flags))
    assert int(re.search(r"--help-all shows the other (\d+) flags", text)[1]) == len(FLAGS) - len(flags) > 0


def test_help_follows_the_flags_beside_it(shown):
    groups, _ = shown("--kind", "ebgan", "--help", "--hp.margin", "3")
    assert groups["kind ebgan"]["--hp.margin"].startswith("3 ") and "--hp.pull-away" in groups["kind ebgan"]
    assert "--loss" not in groups["parts"] and "loss ns" not in groups
    groups, _ = shown("--kind", "conditional", "--head", "ac", "--help")
    assert set(groups["head ac"]) == {"--hp.d-class", "--hp.g-class"} and set(groups["kind conditional"]) == {"--head"}


def test_help_names_no_part_that_the_kind_refuses(shown):
    for kind, penalty, acts in (
        ("plain", "--hp.wgan-gp", True),
        ("vae", "--hp.wgan-gp", False),
        ("aae", "--hp.zcr", False),
    ):
        assert (penalty in shown("--kind", kind, "--help")[1]) == acts, kind


def test_help_of_a_sweep_has_its_own_flags(shown):
    groups, _ = shown("--help", "--grid", "loss=ns,hinge", command="sweep")
    assert groups["sweep"]["--grid"].startswith("loss=ns,hinge ") and "experiment" not in str(groups["sweep"].keys())
    assert "--trials" in groups["How settings are searched for, in place of a grid."]


def test_help_all_has_every_flag(shown, capsys):
    with pytest.raises(SystemExit) as end:
        shown("--help-all")
    text = capsys.readouterr().out
    assert end.value.code == 0 and all(flag in text for flag in FLAGS)
