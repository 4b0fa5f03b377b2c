"""A stage whose inputs change while it runs fails, and names what changed."""

import os
from pathlib import Path

import pytest
import yaml

from aigc_core import inputs
from aigc_core.config import parse
from aigc_core.errors import AigcError, ChangedInputsError, ConfigError
from aigc_core.paths import Paths

GRAPH = """
stages:
  train:
    matrix: {model: [vae, gan]}
    cmd: aigc train ${item.model}
    deps: ['${source.path}', code, 'data/${item.model}.csv']
    params: [seed, 'train.${item.model}', source]
    outs: ['data/models/${item.model}']
"""
PARAMETERS = {"seed": 1, "source": {"path": "raw"}, "train": {"gan": {"steps": 10, "lr": 0.1}, "vae": {"steps": 20}}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text(GRAPH)
    for name in ("raw/7/a.png", "raw/b.png", "code/part.py", "data/gan.csv", "data/vae.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    write(tmp_path)
    return tmp_path


def write(project: Path, **changes: object) -> None:
    (project / "params.yaml").write_text(yaml.safe_dump({**PARAMETERS, **changes}))


CHANGES = {
    "a parameter": (lambda p: write(p, seed=2), ["seed in params.yaml was 1 and is 2"]),
    "a parameter of a section": (
        lambda p: write(p, train={"gan": {"steps": 11, "lr": 0.1}, "vae": {"steps": 20}}),
        ["train.gan.steps in params.yaml was 10 and is 11"],
    ),
    "a parameter that is gone": (lambda p: write(p, train={"gan": {"steps": 10}}), ["train.gan.lr"]),
    "the path itself": (lambda p: write(p, source={"path": "code"}), ["source.path", "raw/b.png was removed"]),
    "a raw file that is new": (lambda p: (p / "raw/7/new.png").write_text(""), ["raw/7/new.png was added"]),
    "a raw file that is gone": (lambda p: (p / "raw/b.png").unlink(), ["raw/b.png was removed"]),
    "a raw file": (lambda p: (p / "raw/b.png").write_text("after!"), ["raw/b.png was changed"]),
    "a raw file of the same length": (lambda p: (p / "raw/b.png").write_text("beford"), ["raw/b.png was changed"]),
    "a file that is named alone": (lambda p: (p / "data/gan.csv").write_text(""), ["data/gan.csv was changed"]),
    "a folder that is gone": (lambda p: os.rename(p / "code", p / "elsewhere"), ["code/part.py was removed"]),  # noqa: PTH104
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_what_the_stage_reads_is_refused_and_named(project, name):
    change, named = CHANGES[name]
    with pytest.raises(ChangedInputsError) as refused, inputs.unchanged(Paths(project), "train", "gan"):
        change(project)
    for words in ["train@gan", *named]:
        assert words in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: None,
        lambda p: write(p, train={"gan": {"steps": 10, "lr": 0.1}, "vae": {"steps": 99}}),  # another stage's
        lambda p: write(p, report={"colour": "blue"}),  # nobody's
        lambda p: (p / "params.yaml").write_text("# a comment\n" + (p / "params.yaml").read_text()),
        lambda p: (p / "data/vae.csv").write_text("another stage's"),
        lambda p: (p / "code/__pycache__").mkdir(),
        lambda p: (p / "data/models").mkdir(),  # an out
    ],
)
def test_what_the_stage_does_not_read_may_change(project, change):
    with inputs.unchanged(Paths(project), "train", "gan"):
        change(project)


def test_many_changes_are_counted(project):
    with pytest.raises(ChangedInputsError, match="and 97 more"), inputs.unchanged(Paths(project), "train", "gan"):
        for number in range(100):
            (project / f"raw/{number}.png").write_text("new")


def test_the_error_of_the_stage_itself_is_the_one_that_is_told(project):
    with pytest.raises(AigcError, match="loss"), inputs.unchanged(Paths(project), "train", "gan"):
        write(project, seed=2)
        raise AigcError("the loss is not finite")


def test_parameters_that_cannot_be_read_any_more_are_a_sentence(project):
    with pytest.raises(ConfigError, match=r"params\.yaml"), inputs.unchanged(Paths(project), "train", "gan"):
        (project / "params.yaml").write_text("a: [")


def test_without_a_graph_every_parameter_counts(project):
    (project / "dvc.yaml").unlink()
    with pytest.raises(ChangedInputsError, match="seed"), inputs.unchanged(Paths(project), "train", "gan"):
        write(project, seed=3)


def test_code_that_is_only_touched_is_the_same_code(project, monkeypatch):
    monkeypatch.setattr(inputs, "PACKAGE", project / "code")
    with inputs.unchanged(Paths(project), "train", "gan"):
        (project / "code/part.py").touch()
    with pytest.raises(ChangedInputsError, match="part"), inputs.unchanged(Paths(project), "train", "gan"):
        (project / "code/part.py").write_text("before!")


@pytest.mark.parametrize("name", ["code/june.csv", "./code/../code/june.csv", "raw/7/june.csv", "data/gan.csv"])
def test_a_file_that_a_parameter_names_is_a_dep(project, name):
    inputs.refuse_unlisted(Paths(project), "train", "gan", {"ids": name})


@pytest.mark.parametrize(
    "name", ["june.csv", "code/../june.csv", "/elsewhere/june.csv", "data/vae.csv", "codes/june.csv"]
)
def test_a_file_that_dvc_would_not_watch_is_refused(project, name):
    with pytest.raises(ConfigError, match="june" if "june" in name else "vae"):
        inputs.refuse_unlisted(Paths(project), "train", "gan", {"ids": name})


def test_the_stages_that_read_files_of_parameters_depend_on_the_folders_for_them():
    decisions = [{"name": "june", "ids": "data/ids/june.csv"}, "curate"]
    config = parse({"ablation": {"decisions": decisions}, "evaluate": {"weights": {"dinov2": "data/weights/d.pth"}}})
    assert set(config.files_of("ablate").values()) == {"data/ids/june.csv", "data/weights/d.pth"}
    assert config.files_of("train") == {}
    root = Path(inputs.__file__).parents[1]
    for stage, family in (("ablate", None), ("evaluate", "gan"), ("evaluate_finetune", "vae")):
        inputs.refuse_unlisted(Paths(root), stage, family, config.files_of(stage))
