"""The page of a study: whole, offline, the same bytes for the same cells, and no bolder than its numbers."""

import math
import re

import numpy as np
import pytest
from PIL import Image
from study_cells import SIZES, cells, on, study, with_bought, with_confirmation

from aigc_core.ablation import verdicts as v
from aigc_core.files import write_json
from aigc_core.report import ablation, forest
from aigc_core.report.ratios import ratio


@pytest.fixture(scope="module")
def facts():
    frame = cells(sizes=SIZES)
    failed = (frame.arm == "without_deduplicate") & (frame.seed == 1)
    frame.loc[failed, ["fd", "cas"]] = np.nan
    frame.loc[failed, "error"] = "the loss <is> not finite"
    return study(frame, skipped=[{"arm": "without_pretrain", "why": "no pre-trained model"}]).to_dict()


@pytest.fixture(scope="module")
def folder(facts, tmp_path_factory):
    place = tmp_path_factory.mktemp("ablation")
    samples = {arm: np.full((8, 1, 8, 8), value, np.uint8) for arm, value in (("full", 10), ("without_curate", 200))}
    ablation.write(facts, samples, place)
    write_json(place / "ledger.json", {"ran": True, **facts})
    return place


def test_the_page_says_what_the_study_says(folder, facts):
    page = (folder / "ledger.html").read_text()
    assert facts["headline"]["sentence"] in page
    for line in facts["ledger"]:
        if line["metric"] == "fd":
            assert (
                f"{ablation.ratio(line['effect'])} ({ablation.ratio(line['low'])} to {ablation.ratio(line['high'])})"
                in page
            )
            assert line["verdict"] in page
    assert "the loss &lt;is&gt; not finite" in page
    assert "no pre-trained model" in page
    assert page.count("<svg") == 3
    assert page.index("samples of the arm: full recipe") < page.index("samples of the arm: without curation")


def test_the_page_is_one_file_and_the_same_bytes_again(folder, facts, tmp_path):
    page = (folder / "ledger.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert "http" not in re.sub(r'xmlns[:a-z]*="[^"]*"', "", page)
    ablation.write(facts, {}, tmp_path)
    for name in ("forest.svg", "forest.png"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    section = ablation.from_folder(folder)
    assert [title for title, _ in section["strips"]] == ["full recipe", "without curation"]


def test_charts_take_the_page_s_colours_and_files_have_their_own(folder, facts):
    drawn = forest.forest(facts)
    assert "var(--good)" in drawn
    assert "var(--bad)" in drawn
    assert not re.search(r"#0102\d\d", drawn + forest.spread(facts) + forest.curve(facts))
    saved = (folder / "forest.svg").read_text()
    assert "var(" not in saved
    assert forest.LIGHT.good in saved
    with Image.open(folder / "forest.png") as opened:
        assert opened.width > 900


def test_what_is_beyond_the_panel_is_an_arrow_with_its_value():
    facts = study(cells(blanks_2=("positive_control", None, 60.0, 0.9, 1.0))).to_dict()
    planted = next(row for row in facts["gains"] if row["kind"] == "planted")
    assert f"{ratio(math.exp(planted['mean']))} times →" in forest.forest(facts)


def test_the_planted_damage_is_a_line_across_the_plot_only_where_it_was_seen():
    def lines(found):
        return forest.forest(found).count("stroke-dasharray")

    assert lines(study().to_dict()) == 1 + lines(
        study(cells(blanks_2=("positive_control", None, 2.0, 0.9, 1.0))).to_dict()
    )


def test_the_axis_of_ratios_has_few_round_ticks_and_always_one():
    for spread in (0.001, 0.05, 0.5):
        drawn = forest.forest(study(cells(spread=spread)).to_dict())
        ticks = re.findall(r"<text[^>]*>([0-9.]+)</text>", drawn)
        assert "1" in ticks
        assert len(ticks) <= forest.TICKS + 1


def test_planted_damage_is_named_by_its_share():
    frame = cells()
    frame["arm"] = frame["arm"].replace("blanks_2", "blanks_5")
    found = study(frame).to_dict()
    assert found["void"] == []
    assert "5 % blanks planted" in forest.forest(found)
    assert "5 % blanks planted" in ablation.render(found)
    assert "2 % blank" not in ablation.render(found)


def test_rows_that_were_brought_in_have_a_row_of_their_own_words():
    found = study(with_bought(), decisions=["curate", "bought"]).to_dict()
    drawn = forest.forest(found)
    assert drawn.count("against as many other rows") == drawn.count("against random removal") == 1
    page = ablation.render(found)
    assert "rows that were brought in" in page
    assert "others gone, not bought" in page
    assert "random, not curation" in page
    assert "rows that were brought in" not in ablation.render(study().to_dict())


def test_a_void_study_is_loud_and_colours_nothing():
    found = study(cells(placebo=("placebo", None, 3.0, 0.9, 1.0)))
    facts = found.to_dict()
    page = ablation.render(facts)
    assert 'role="alert"' in page
    assert "Data value: void" in page
    assert "var(--good)" not in forest.forest(facts)
    assert v.PAYS not in re.findall(r'class="state [a-z]*">([a-z ]+)<', page)
    assert on(found, "deduplicate", "cas").verdict == v.VOID
    assert not any("pays" in sentence for sentence in facts["headline"]["evidence"])


def test_without_sizes_or_times_the_page_says_less():
    page = ablation.render(study().to_dict())
    assert page.count("<svg") == 2
    assert "No curve is drawn" in page
    assert ">seconds<" not in page


def test_the_page_beside_the_out_has_the_cost_in_seconds(folder, tmp_path):
    frame = cells()
    frame["seconds"] = np.where(frame.arm == "full", 3.5, 2.0)
    ablation.write_timed(study(frame).to_dict(timing=True), folder, tmp_path / "ledger.html")
    page = (tmp_path / "ledger.html").read_text()
    assert ">seconds<" in page
    assert ">+1.5<" in page
    assert "samples of the arm: full recipe" in page


def test_what_was_not_run_says_why(tmp_path):
    assert ablation.from_folder(tmp_path) is None
    write_json(tmp_path / "ledger.json", {"ran": False, "why": "not run: ablation.enabled is false"})
    assert ablation.from_folder(tmp_path) == {"not_run": "not run: ablation.enabled is false"}
    assert "ablation.enabled is false" in ablation.render({"ran": False, "why": "not run: ablation.enabled is false"})


def test_one_seed_can_be_shown():
    frame = cells()
    page = ablation.render(study(frame[frame.seed == 0]).to_dict())
    assert "at least two seeds" in page


def test_both_budgets_stand_side_by_side():
    found = study(with_confirmation(3.0)).to_dict()
    page = ablation.render(found)
    assert "at the full budget" in page
    assert "at the full budget" in forest.forest(found)
    assert "at the full budget" not in ablation.render(study().to_dict())
