"""What people ask and decide: `aigc quality why`, `review`, `suite`, on a small folder with known faults."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from aigc_core import cli
from aigc_core import config as configuration
from aigc_core.commands import explain
from aigc_core.commands.quality_review import review as write_review
from aigc_core.commands.quality_review import take
from aigc_core.commands.quality_suite import suite
from aigc_core.commands.quality_why import find, known, why
from aigc_core.errors import DataError
from aigc_core.files import read_json, write_table
from aigc_core.modalities import image
from aigc_core.quality.draft import draft, upper_share
from aigc_core.records import LEARNED_SCHEMA, VERDICT_SCHEMA, StageResult, row_id
from aigc_core.report import groups, review
from aigc_core.report.page import number
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure
from aigc_core.stages.parts import gate_facts
from aigc_core.stages.validate import validate


class Made:
    """A curated folder: 24 pictures of two classes, a copy, a blank and a broken file."""

    def __init__(self, make):
        files = {f"{label}/{n:02d}.png": make.png(100 * label + n, channels=1) for label in (1, 2) for n in range(12)}
        files["1/copy <b>.png"] = files["1/00.png"]
        files["2/blank.png"] = image.encode_png(np.full((12, 12, 1), 9, np.uint8))
        files["2/broken.png"] = files["2/00.png"][:50]
        numbers = {"min_rows": 5, "min_rows_per_class": 1, "ranges": {"min_reference_rows": 3}}
        self.config = make.config("folder", make.folder(files), expectations=numbers)
        self.paths = make.paths()
        ingest(self.config, self.paths)
        measure(self.config, self.paths)
        curate(self.config, self.paths)

    def id(self, source):
        return find(self.paths, source)

    def page(self, reason, limit=60):
        write_review(self.config, self.paths, limit)
        return (self.paths.review / f"{reason}.html").read_text()


@pytest.fixture
def made(make):
    return Made(make)


def test_a_sheet_per_reason_that_fetches_nothing(made):
    write_review(made.config, made.paths, 60)
    pages = {path.name: path.read_text() for path in made.paths.review.iterdir()}
    assert pages.keys() == {"index.html", "blank.html", "corrupt.html", "duplicate_exact.html"}
    for name, text in pages.items():
        sources = re.findall(r"(?:src|href)=\"([^\"]*)\"", text)
        assert all(source.startswith("data:") or source in pages for source in sources), name
        assert not re.search(r"url\(|@import|https?://", text), name
        assert "prefers-color-scheme: dark" in text
    copies = pages["duplicate_exact.html"]
    assert "<b>" not in copies
    assert "copy &lt;b&gt;.png" in copies
    assert copies.count("data:image/png") == 2, "the copy and, beside it, the one that stays"
    assert "cannot be shown: " in pages["corrupt.html"]
    assert f'data-id="{made.id("blank.png")}"' in pages["blank.html"]
    assert "These images are in quarantine." in pages["blank.html"]
    assert 'href="blank.html"' in pages["index.html"]


def test_only_equal_pixels_read_as_one_and_every_picture_is_there_when_a_page_is_printed(made):
    verdict = {"measure": "similarity", "value": 0.99998, "threshold": 0.993, "score": None}
    assert review.decided_by(verdict) == "similarity: 0.99998, threshold 0.993"
    assert review.decided_by({**verdict, "value": 1.0}) == "similarity: 1, threshold 0.993"
    assert [number(value) for value in (0.999999, 2 + 1e-12, 0.25, 12, 1234.56)] == ["0.999999", "2", "0.25", "12", "1235"]  # fmt: skip
    assert "lazy" not in made.page("duplicate_exact")


def test_a_files_name_is_never_markup_of_the_terminal(capsys):
    cli._say(StageResult("1/[/best].png is kept: [bold] :cat: text"))
    assert capsys.readouterr().out.strip() == "1/[/best].png is kept: [bold] :cat: text"
    nearest = {"way": "pixels", "rank": 1, "distance": 0.5, "label": "[/a]", "id": "0" * 64, "source": "[/best].png"}
    explain._print("[/sample].png", [nearest])
    said = capsys.readouterr().out
    assert "[/best].png" in said
    assert "[/a]" in said


def test_worst_first_and_the_cap_is_said():
    lines = [{"id": i, "source": "s", "reason": "blank", "action": "warn", "measure": "std", "score": s, "value": v, "threshold": 1.0}
             for i, s, v in (("a", None, 2.0), ("b", 0.9, 1.0), ("c", 0.1, 1.0), ("d", None, 9.0), ("e", None, None))]  # fmt: skip
    table = pa.Table.from_pylist(lines, VERDICT_SCHEMA)
    assert [line["id"] for line in review.worst_first(table, "blank", 10)] == ["c", "b", "d", "a", "e"]
    assert [line["id"] for line in review.worst_first(table, "blank", 2)] == ["c", "b"]


def test_a_capped_sheet_says_how_many_there_are(made):
    place = made.paths.verdicts / "part-0.parquet"
    lines = [{"id": row_id("x"), "source": "x", "reason": "dark", "action": "warn", "measure": "mean"}] * 3
    lines += [{"id": made.id(f"1/{n:02d}.png"), "source": "x", "reason": "dark", "action": "warn", "measure": "mean",
               "score": n / 10} for n in range(5)]  # fmt: skip
    write_table(place, pa.concat_tables([pq.read_table(place), pa.Table.from_pylist(lines, VERDICT_SCHEMA)]))
    text = made.page("dark", limit=2)
    assert "The worst 2 of 8 are here" in text
    assert text.count("<form") == 2
    assert text.index("1/00.png") < text.index("1/01.png")
    assert "This reason alone takes no image out of the data set." in text


def test_decisions_go_out_and_come_back(made, tmp_path):
    blank, good = made.id("blank.png"), made.id("1/03.png")
    file = tmp_path / "decisions.csv"
    file.write_text(f"id,decision,label,who,note,content\n{blank},keep,,Ada,a fog,\n{good[:10]},relabel,2,Ada,,\n")
    result = take(made.config, made.paths, file)
    assert "took 1 keep, 1 relabel" in result.summary
    curate(made.config, made.paths)
    kept = {row["id"]: row for row in pq.read_table(made.paths.curated / "rows.parquet").to_pylist()}
    assert kept[blank]["label"] == "2"
    assert (kept[good]["label"], kept[good]["op"]) == ("2", "relabel 1 to 2 by Ada")
    text = made.page("blank")
    assert re.search(r'value="keep" checked', text), "the page shows what was decided before"
    assert 'value="a fog"' in text
    file.write_text(f"id,decision,who\n{blank},drop,Bo\n")
    take(made.config, made.paths, file)
    assert made.paths.decisions.read_text().count(blank) == 1, "the newer decision wins"
    assert ",drop,,Bo," in made.paths.decisions.read_text()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,decision,who\n", "holds no decision"),
        ("id,decision,who\n{blank},keep,Ada\n{blank},maybe,Ada\n", "line 3: the decision is 'maybe'"),
        ("id,decision,label,who\n{blank},relabel,3,Ada\n", r"'3': known are 1, 2"),
        ("id,decision,who\n000000000000,keep,Ada\n", "beginning of no row"),
    ],
)
def test_a_wrong_file_changes_nothing(made, tmp_path, text, sentence):
    file = tmp_path / "decisions.csv"
    file.write_text(text.format(blank=made.id("blank.png")))
    with pytest.raises(DataError, match=sentence):
        take(made.config, made.paths, file)
    assert not made.paths.decisions.exists()
    with pytest.raises(DataError, match="is not a file"):
        take(made.config, made.paths, tmp_path / "absent.csv")


def test_why_tells_everything_of_a_row(made, capsys, tmp_path):
    paths = made.paths
    copy, first = made.id("1/copy <b>.png"), made.id("1/00.png")
    write_table(paths.measures / "learned.parquet", pa.Table.from_pylist(
        [{"id": copy, "domain_distance": 1.5, "label_predicted": "2"}], LEARNED_SCHEMA))  # fmt: skip
    file = tmp_path / "d.csv"
    file.write_text(f"id,decision,who\n{copy},drop,Ada\n")
    take(made.config, paths, file)
    both = [known(paths, identity) for identity in (copy, first)]
    away = next(found for found in both if found["curated"]["state"] == "quarantined")
    kept = next(found for found in both if found["curated"]["state"] == "kept")
    assert away["curated"]["reasons"] == "duplicate_exact"
    assert away["verdicts"][0]["measure"] == "content_hash"
    assert [line["why"] for line in away["cluster"]] == ["best of the group", "duplicate_exact"]
    assert kept["cluster"] == away["cluster"], "the survivor knows its copies"
    assert both[0]["learned"]["label_predicted"] == "2"
    assert both[0]["decisions"][0]["who"] == "Ada"
    result = why(made.config, paths, copy[:10])
    printed = capsys.readouterr().out
    for piece in ("copy <b>.png", "content_hash", "sharpness", "domain_distance", "Ada"):
        assert piece in printed, piece
    quarantined = both[0]["curated"]["state"] == "quarantined"
    assert ("duplicate_exact (quarantine)" in result.summary) == quarantined
    assert ("no check has anything against it" in result.summary) != quarantined


def test_a_row_is_found_by_its_file_or_a_part_of_it(made):
    whole = row_id("1/03.png")
    for name in ("1/03.png", "some/where/images/1/03.png", whole, whole[:9]):
        assert find(made.paths, name) == whole, name
    with pytest.raises(DataError, match="means 2 rows"):
        find(made.paths, "03.png")


def test_a_whole_place_wins_over_the_same_name_further_up(make):
    files = {"a/7.png": make.png(1), "7.png": make.png(2), "b/a/7.png": make.png(3)}
    config, paths = make.config("folder", make.folder(files)), make.paths()
    ingest(config, paths)
    for name in files:
        assert find(paths, name) == row_id(name), name


def test_why_says_what_it_does_not_find(made):
    with pytest.raises(DataError, match="no row has an id that begins with 'nothing'"):
        find(made.paths, "nothing")
    with pytest.raises(DataError, match=r"means 27 rows: .* and 15 more"):
        find(made.paths, "")
    (made.paths.ingested / "rows.parquet").unlink()
    with pytest.raises(DataError, match="aigc ingest"):
        find(made.paths, "x")


def test_before_curation_why_says_so(make):
    config, paths = make.config("folder", make.folder({"1/a.png": make.png(1), "2/b.png": make.png(2)})), make.paths()
    ingest(config, paths)
    assert known(paths, find(paths, "1/a.png"))["curated"] == {"state": "not judged yet"}


def test_a_drafted_suite_passes_its_own_data_and_not_worse(made):
    few = made.config.expectations.model_copy(
        update={"min_compared": 0}
    )  # 8 rows: no number from the data makes them enough
    text = suite(made.config.model_copy(update={"expectations": few}), made.paths, 0.1).summary
    numbers = yaml.safe_load(text)["expectations"]
    config = configuration.parse({"expectations": numbers})
    assert list(numbers) == list(config.expectations.model_dump())
    validate(config, made.paths)
    failed = {check["name"] for check in read_json(made.paths.validation)["checks"] if not check["passed"]}
    assert failed == {"detectors_can_fire", "labels_checked"}, "so few rows tell little, and no number makes that pass"
    assert numbers["min_rows"] == int(24 * 0.9)
    assert numbers["min_classes"] == 2
    facts = gate_facts.tables(made.paths, gate_facts.read_kept(made.paths), config.expectations, {})["facts"]
    whole = facts.iloc[0].to_dict()
    assert draft(whole, 27, 1.0, 0.5, config.expectations)["min_rows"] == 12
    assert 1 / 27 < numbers["max_share"]["blank"] < 0.5


def test_the_upper_bound_of_a_share_covers():
    assert upper_share(0, 1000) == pytest.approx(0.0066, abs=1e-3), "none of a thousand is not never"
    assert upper_share(1000, 1000) == 1
    rng = np.random.default_rng(0)
    drawn = rng.binomial(400, 0.05, 2000)
    assert np.mean([upper_share(count, 400) >= 0.05 for count in drawn]) > 0.98


def test_the_best_of_a_group_of_blanks_does_not_stay():
    lines = [("a", "blank", None), ("b", "blank", None), ("b", "duplicate_exact", "a"), ("d", "duplicate_exact", "c")]
    lines += [("e", "duplicate_exact", "c"), ("f", "duplicate_near", "c")]
    rows = [
        {"id": i, "source": i, "reason": r, "action": "quarantine", "measure": "m", "cluster": c} for i, r, c in lines
    ]
    shown, total = groups.groups(pa.Table.from_pylist(rows, VERDICT_SCHEMA))
    assert total == 2
    assert [(group["survivor"], group["stays"], group["total"]) for group in shown] == [("c", True, 3), ("a", False, 1)]
