"""What an asset's page shows of the outs of a stage, its order, its limits and what it says of files that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.checks import failed_first
from pipelines.shown import NUMBERS, PICTURE_BYTES, PICTURES, materialization_metadata
from pipelines.stages import DvcStage, Locked

LOCKED = Locked({"out": "abc"}, {"out": 5}, "data", "code")


def stage(folder: Path, *metrics: str, **options: Any) -> DvcStage:
    """A stage whose only out is `folder`."""
    return DvcStage(
        "toy", "", "", {"dagster": options}, folder, "toy", (), (folder,), tuple(folder / name for name in metrics)
    )


def shown(toy: DvcStage, checks: list[dg.AssetCheckResult] | None = None) -> dict[str, Any]:
    return materialization_metadata(toy, LOCKED, {"link": "here"}, checks or [])


def lines(table: dg.TableMetadataValue) -> list[dict[str, Any]]:
    return [dict(record.data) for record in table.records]


def test_a_curve_is_thinned_out_and_a_ledger_is_not(tmp_path: Path) -> None:
    ledger = [f"decision_{i},fd,pays" for i in range(24)]
    (tmp_path / "ledger.csv").write_text("\n".join(["decision,metric,verdict", *ledger]))
    (tmp_path / "curve.csv").write_text("\n".join(["step,loss", *(f"{i},1" for i in range(24))]))
    (tmp_path / "short.csv").write_text("step,loss\n1,1\n2,1\n")
    (tmp_path / "long.csv").write_text("\n".join(["decision", *(f"{i}" for i in range(1001))]))
    found = shown(stage(tmp_path))
    assert [line["decision"] for line in lines(found["ledger.csv"])] == [f"decision_{i}" for i in range(24)]
    curve = lines(found["curve.csv"])
    assert [curve[0]["step"], curve[-1]["step"], len(curve)] == ["0", "23", 10]
    assert len(lines(found["short.csv"])) == 2
    assert len(lines(found["long.csv (first 100 of 1,001 lines)"])) == 100


def test_the_headline_comes_first_and_the_rest_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"cas": 0.9, "fd": 1.5, "deep": {"kid": 2, "on": true}, "n": 7}')
    found = shown(stage(tmp_path, "m.json", headline=["fd", "cas", "lost"]))
    assert list(found)[:4] == ["fd", "cas", "lost", "other metrics"]
    assert (found["fd"], found["cas"], found["lost"]) == (1.5, 0.9, "not measured")
    assert lines(found["other metrics"]) == [{"metric": "deep/kid", "value": 2.0}, {"metric": "n", "value": 7.0}]


def test_a_few_numbers_without_a_headline_stand_alone_and_many_are_a_table(tmp_path: Path) -> None:
    few = {f"m{i}": i for i in range(NUMBERS)}
    (tmp_path / "few.yaml").write_text("".join(f"{name}: {value}\n" for name, value in few.items()))
    (tmp_path / "one.toml").write_text("more = 1.5\n")
    assert {name: value for name, value in shown(stage(tmp_path, "few.yaml")).items() if name in few} == few
    many = shown(stage(tmp_path, "few.yaml", "one.toml"))
    assert not set(many) & set(few)
    assert lines(many["other metrics"])[-1] == {"metric": "more", "value": 1.5}


def test_metrics_that_are_not_finite_or_cannot_be_read_are_words(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"loss": NaN, "high": Infinity}')
    (tmp_path / "bad.json").write_text('{"loss": ')
    found = shown(stage(tmp_path, "odd.json", "bad.json", "lost.json"))
    assert (found["loss"], found["high"]) == ("nan", "inf")
    assert "cannot be read" in found["bad.json"]


def test_failed_checks_are_named_at_the_top_errors_before_warnings(tmp_path: Path) -> None:
    def result(name: str, passed: bool, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=passed, asset_key=dg.AssetKey("toy"), check_name=name, severity=severity)

    error, warning = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
    checks = failed_first(
        [
            result("fine", True, error),
            result("small", False, warning),
            result("good", True, warning),
            result("large", False, error),
        ]
    )
    assert [check.check_name for check in checks] == ["large", "small", "fine", "good"]
    found = shown(stage(tmp_path), checks)
    assert next(iter(found)) == "failed checks"
    assert found["failed checks"] == "2 of 4: large, small"
    assert "failed checks" not in shown(stage(tmp_path), checks[2:])


def test_pictures_have_a_limit_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    for i in range(PICTURES + 3):
        (tmp_path / f"{i:03}.png").write_bytes(b"small")
    (tmp_path / "000.png").write_bytes(b"x" * (PICTURE_BYTES + 1))
    text = shown(stage(tmp_path))["pictures"].value
    assert text.count("data:image/png") == PICTURES - 1
    assert f"**000.png** has {PICTURE_BYTES + 1:,} bytes" in text
    assert f"the first {PICTURES} of {PICTURES + 3} pictures" in text


def test_two_files_of_one_name_keep_their_folders(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "grid.png").write_bytes(b"x")
        (tmp_path / folder / "t.csv").write_text("k\nv\n")
    found = shown(stage(tmp_path))
    assert "**a/grid.png**" in found["pictures"].value
    assert {"a/t.csv", "b/t.csv"} <= set(found)


def test_a_table_that_is_no_text_is_a_sentence_and_odd_rows_are_kept(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"a,b\n\xff\xfe\x00,1\n")
    (tmp_path / "odd.csv").write_text("a,b\n1\n1,2,3\n")
    (tmp_path / "empty.csv").write_text("")
    found = shown(stage(tmp_path))
    assert "cannot be read" in found["binary.csv"]
    assert [line["a"] for line in lines(found["odd.csv"])] == ["1", "1"]
    assert "empty.csv" not in found
