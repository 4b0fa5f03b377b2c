"""Which family a study is about, which studies were asked before, and what has to be there before one can be planned."""

import json
from dataclasses import replace

import pytest
import study_data as data

from aigc_core import ablation
from aigc_core.ablation import asked
from aigc_core.ablation.family import choose_family
from aigc_core.ablation.plan import check_unchanged
from aigc_core.errors import DataError
from aigc_core.files import write_json
from aigc_core.paths import Paths
from aigc_core.stages.ablate import ablate


def evaluated(paths: Paths, **families: tuple[bool, float]) -> Paths:
    """A checkout whose families got these answers of the memorization gate and distances over the floor."""
    for name, (passed, distance) in families.items():
        write_json(paths.evaluation(name) / "details" / "memorization.json", {"passed": passed, "reasons": []})
        write_json(paths.evaluation(name) / "metrics.json", {"fd_over_floor": distance})
    return paths


@pytest.mark.parametrize(
    ("families", "wanted", "expected"),
    [
        ({}, "auto", ("gan", True)),
        ({}, "vae", ("vae", True)),
        ({"vae": (True, 1.0)}, "auto", ("vae", True)),
        ({"vae": (True, 2.0), "gan": (True, 1.0)}, "auto", ("gan", True)),
        ({"vae": (True, 2.0), "gan": (False, 1.0)}, "auto", ("vae", True)),
        ({"vae": (True, 2.0), "gan": (False, 1.0)}, "gan", ("gan", False)),
        ({"vae": (False, 2.0), "gan": (False, 3.0)}, "auto", ("vae", False)),
        ({"vae": (False, 2.0), "gan": (False, 3.0)}, "gan", ("gan", False)),
        ({"gan": (False, 3.0)}, "auto", ("gan", True)),
    ],
)
def test_the_study_is_about_the_family_that_is_released(tmp_path, families, wanted, expected):
    found = choose_family(wanted, evaluated(Paths(tmp_path), **families))
    assert (found.name, found.released) == expected
    assert found.why


def test_a_plan_says_which_family_it_is_about_and_an_evaluation_that_came_later_does_not_change_it(tmp_path):
    paths = data.build(Paths(tmp_path))
    plan = ablation.freeze(data.settings(model="auto"), paths)
    assert (plan.model, plan.family_released, plan.settings["ablation"]["model"]) == ("gan", True, "gan")
    evaluated(paths, vae=(True, 1.0), gan=(True, 2.0))
    assert check_unchanged(plan, paths).plan == plan
    later = ablation.freeze(data.settings(model="auto"), paths)
    assert (later.model, later.family_released) == ("vae", True)
    other = ablation.freeze(data.settings(model="gan"), paths)
    assert (other.model, other.family_released) == ("gan", False)
    assert {line["cell"] for line in other.cells} == {line["cell"] for line in plan.cells}


def test_studies_of_the_same_images_that_asked_the_same_are_counted(tmp_path):
    paths = data.build(Paths(tmp_path))
    plan = ablation.freeze(data.settings(decisions=["curate", "deduplicate"]), paths)
    more = ablation.freeze(data.settings(decisions=["curate"], seeds=4), paths)
    longer = ablation.freeze(data.settings(decisions=["curate"], steps=9), paths)
    assert asked.earlier(plan, paths) == {}
    for one in (plan, plan, more):
        asked.record(one, paths)
    assert len(json.loads((paths.work / "ablation" / "asked.json").read_text())) == 2
    assert {name: len(lines) for name, lines in asked.earlier(plan, paths).items()} == {"curate": 1}
    assert {name: len(lines) for name, lines in asked.earlier(longer, paths).items()} == {"curate": 2}
    wider = ablation.freeze(data.settings(decisions=["curate"], blanks=0.1, seeds=4), paths)
    asked.record(wider, paths)  # the same question in the same way, beside another control
    assert {name: len(lines) for name, lines in asked.earlier(longer, paths).items()} == {"curate": 2}
    told = asked.in_words(longer, paths)
    assert len(told) == 1
    assert "14 %" in told[0]  # 1 - 0.95^3
    elsewhere = replace(longer, dataset={**longer.dataset, "ingested": "others"})
    assert asked.earlier(elsewhere, paths) == {}


def test_what_has_to_be_there_first_is_named_at_once(tmp_path):
    with pytest.raises(DataError) as raised:
        ablate(data.settings(), Paths(tmp_path), plan_only=True)
    assert "dvc repro ingest extractor measure curate" in str(raised.value)
    paths = data.build(Paths(tmp_path))
    (paths.extractor / "extractor.json").rename(tmp_path / "kept.json")
    paths.extractor.rename(tmp_path / "extractor")
    with pytest.raises(DataError, match="missing: data/extractor; run `dvc repro extractor`"):
        ablate(data.settings(), paths, plan_only=True)
