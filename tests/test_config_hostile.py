"""Whatever stands in a field of the configuration, it is taken or refused in a sentence that names the field."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from aigc_core import config
from aigc_core.config.study import REASONS
from aigc_core.errors import ConfigError

HOSTILE = [
    float("inf"), float("-inf"), float("nan"), 2**70, -(2**70), 10**400, 10**5000, "", " ", [], {}, None, "x" * 10_000, True, False,
    "off", 1e308, -1e308, 5e-324, "1e400", "a\0b", "\x1b[31mred", "\ud800", [[]], [None], [True], ["", ""], [1, 1], {"": 1}, {1: 2},
    {"\x1b": "\x1b"}, b"bytes",
]  # fmt: skip
#: Sections that stand nowhere by default: how one of them is written.
EXAMPLES: dict[str, Any] = {
    "source.columns": {},
    "source.sheet": {"width": 8, "height": 8},
    "source.sources": [{"kind": "folder", "path": "a", "columns": {}, "sheet": {"width": 8, "height": 8}}],
    "ablation.decisions": [{"name": "mine", "reasons": ["blank"]}],
}


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for part in get_args(annotation) for one in _sections(part)]


def _fields(model: type[BaseModel], place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Place and annotation of every field of every section."""
    for name, field in model.model_fields.items():
        own = (*place, name)
        yield own, field.annotation
        inside = (*own, 0) if get_origin(field.annotation) is list else own
        for section in _sections(field.annotation):
            yield from _fields(section, inside)


FIELDS = {".".join(map(str, place)): (place, annotation) for place, annotation in _fields(config.Config)}


def _raw(place: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """A valid configuration but for the value at one place."""
    raw = {str(place[0]): config.Config().model_dump(include={str(place[0])})[str(place[0])]}
    for name, example in EXAMPLES.items():
        section, field = name.split(".")
        if ".".join(map(str, place)).startswith(name):
            raw[section][field] = yaml.safe_load(yaml.safe_dump(example))
    if place[:2] == ("source", "sources"):
        raw["source"]["kind"] = "mix"
    *above, last = place
    inside: Any = raw
    for part in above:
        inside = inside[part]
    inside[last] = value
    return raw


def test_the_fields_are_all_there():
    assert len(FIELDS) > 200
    assert {"seed", "train.gan.beta1", "source.sources.0.sheet.width", "ablation.decisions.0.ids"} <= FIELDS.keys()


@pytest.mark.parametrize("name", FIELDS)
def test_a_hostile_value_is_taken_or_refused_with_the_fields_name(name):
    place, _ = FIELDS[name]
    for value in HOSTILE:
        try:
            assert isinstance(config.parse(_raw(place, value)), config.Config)
        except ConfigError as error:
            said = str(error)
            together = (
                ".".join(map(str, place[:-1])) + " = "
            )  # fields that are judged together are named by their section
            assert name in said or (len(place) > 1 and together in said), value
            assert len(said) < 2_000
            assert said.isprintable()


def _leaves(annotation: Any) -> set[Any]:
    parts = get_args(annotation)
    return {one for part in parts for one in _leaves(part)} if parts else {annotation}


@pytest.mark.parametrize("name", [name for name, (_, kind) in FIELDS.items() if _leaves(kind) & {int, float}])
def test_no_number_is_without_an_end_a_truth_value_or_beyond_what_it_means(name):
    place, kind = FIELDS[name]
    beyond = (2**70, -(2**70)) if float not in _leaves(kind) else ()
    for value in (float("inf"), float("-inf"), float("nan"), 1e308, -1e308, True, False, *beyond):
        with pytest.raises(ConfigError, match=rf"{name}\b"):
            config.parse(_raw(place, value))


TRUTHS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
WORDS = [
    (name, word)
    for name, (_, kind) in FIELDS.items()
    for word in sorted(_leaves(kind) & TRUTHS.keys())
    if bool not in _leaves(kind)
]


@pytest.mark.parametrize(("name", "word"), WORDS)
def test_a_word_that_yaml_reads_as_a_truth_value_needs_no_quotes(name, word):
    place, _ = FIELDS[name]
    found = config.parse(_raw(place, yaml.safe_load(word)))
    for part in place:
        found = found[part] if isinstance(part, int) else getattr(found, part)
    assert found == word


def test_there_are_such_words():
    assert ("train.compile", "off") in WORDS
    assert {(f"quality.{reason}.action", "off") for reason in REASONS} <= set(WORDS)


def test_truth_values_stay_what_they_are_where_they_are_meant(tmp_path):
    place = tmp_path / "params.yaml"
    place.write_text(
        "train: {compile: off, gan: {spectral_norm: on}}\nfinal: {enabled: off}\ntracking: {enabled: no}\n"
    )
    found = config.load(place)
    assert (found.train.compile, found.train.gan.spectral_norm, found.final.enabled) == ("off", True, False)
    assert found.tracking.enabled is False


def test_the_other_truth_value_is_no_word():
    with pytest.raises(ConfigError, match=r"train\.compile = True.*it may be auto, off"):
        config.parse({"train": {"compile": True}})


@pytest.mark.parametrize("section", ["finetune", "pretrain"])
def test_a_class_that_is_called_like_a_truth_value_is_not_guessed(section):
    with pytest.raises(ConfigError, match=rf"{section}\.classes.*quotes"):
        config.parse({section: {"classes": yaml.safe_load("[no, cat]")}})
    assert getattr(config.parse({section: {"classes": ["no", "cat"]}}), section).classes == ["no", "cat"]


DOUBLED = {
    "quality.duplicate_near.transforms": "flip",
    "evaluate.extractors": "pixel_pca",
    "train.gan.diffaugment": "color",
    "ablation.looks": 3,
    "ablation.decisions": "curate",
    "ablation.decisions.0.reasons": "blank",
    "ablation.decisions.0.augment": "crop",
    "ablation.sizes": 0.5,
    "pretrain.classes": "7",
    "finetune.classes": "7",
    "source.sources": {"kind": "folder", "path": "a"},
}


def test_every_list_is_tried():
    assert {name for name, (_, kind) in FIELDS.items() if "list[" in str(kind)} - {"ablation.sweep"} == DOUBLED.keys()


@pytest.mark.parametrize(("name", "item"), DOUBLED.items())
def test_a_doubled_entry_is_refused(name, item):
    place, _ = FIELDS[name]
    raw = _raw(place, [item, item])
    if name == "ablation.decisions.0.augment":
        raw["ablation"]["decisions"][0]["reasons"] = None
    with pytest.raises(ConfigError, match=rf"{name} = .*(twice|rise)"):
        config.parse(raw)


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({"ablation": {"decisions": ["curat"]}}, "ablation.decisions.0"),
        ({"ablation": {"decisions": [{"name": "m", "augment": ["croop"]}]}}, "ablation.decisions.0.augment.0"),
        ({"ablation": {"sweep": {"blury": [0.1]}}}, "ablation.sweep"),
        ({"expectations": {"max_share": {"blnk": 0.1}}}, "expectations.max_share"),
        ({"evaluate": {"extractors": ["inceptoin"]}}, "evaluate.extractors.0"),
        ({"train": {"gan": {"diffaugment": ["colour"]}}}, "train.gan.diffaugment.0"),
        ({"quality": {"duplicate_near": {**config.Quality().duplicate_near.model_dump(), "transforms": ["flp"]}}},
         "quality.duplicate_near.transforms.0"),
        ({"finetune": {"mode": {"gna": "full"}}}, "finetune.mode.gna"),
        ({"finetune": {"classes": "aut"}}, "finetune.classes"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_one_sentence_with_the_near_one(raw, place):
    with pytest.raises(ConfigError) as caught:
        config.parse(raw)
    said = str(caught.value)
    assert f"params.yaml: {place} = " in said
    assert said.count("params.yaml") == said.count("did you mean") == 1
    assert said.index("did you mean") < said.rindex(",")


def test_of_several_kinds_that_a_value_may_have_the_one_that_was_meant_is_answered():
    with pytest.raises(ConfigError) as caught:
        config.parse({"ablation": {"decisions": [{"name": "m", "reasonss": ["blank"]}]}})
    assert (
        str(caught.value) == "params.yaml: unknown parameter 'ablation.decisions.0.reasonss'; did you mean 'reasons'?"
    )


def test_the_numbers_of_a_study_end_somewhere():
    with pytest.raises(ConfigError, match=r"ablation\.seeds = 600000 .*1000"):
        config.parse({"ablation": {"seeds": 600_000}})


@pytest.mark.parametrize(
    "text",
    [
        "seed: 1\nseed: 2\n",
        "train: {batch_size: 1, batch_size: 2}\n",
        f"seed: {'9' * 5000}\n",
        "seed: 2024-13-77\n",
        f"seed: {'[' * 2000}{']' * 2000}\n",
        "seed: &a [*a]\n",
        "? [1]\n: 2\n",
        "seed: \x07\n",
    ],
)
def test_a_file_that_says_nothing_readable_is_one_sentence(tmp_path, text):
    place = tmp_path / "params.yaml"
    place.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(place)
    assert "params.yaml" in str(caught.value)
    assert len(str(caught.value)) < 1_000


def test_a_file_that_is_no_text_is_one_sentence(tmp_path):
    place = tmp_path / "params.yaml"
    place.write_bytes(b"seed: \xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        config.load(place)
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load(tmp_path)
