"""People overrule the checks, line by line, and every wrong line is one sentence."""

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from aigc_core.errors import DataError
from aigc_core.files import read_json
from aigc_core.quality import decisions
from aigc_core.quality.decisions import Decision
from aigc_core.records import ROW_SCHEMA, VERDICT_SCHEMA, row_id
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure

IDS = [row_id(name) for name in "abc"]
HEADER = "id,decision,label,who,note\n"


def rows():
    lines = [{"id": i, "content_hash": h, "label": "1", "split": "train", "source": s, "op": o}
             for i, h, s, o in zip(IDS, ["ha", "hb", None], "abc", [None, "planted", None], strict=True)]  # fmt: skip
    return pa.Table.from_pylist(lines, ROW_SCHEMA)


def verdicts(*lines):
    given = [{"id": i, "source": "s", "reason": r, "action": a, "measure": "std"} for i, r, a in lines]
    return pa.Table.from_pylist(given, VERDICT_SCHEMA)


def told(applied):
    return {(line["id"], line["reason"]): line["action"] for line in applied.verdicts.to_pylist()}


def test_a_kept_row_is_only_informed_of():
    given = verdicts((IDS[0], "blank", "quarantine"), (IDS[0], "dark", "warn"), (IDS[1], "blank", "quarantine"))
    applied = decisions.apply(given, rows(), [Decision(IDS[0], "keep", who="ada", note="it is a moon")])
    assert told(applied) == {
        (IDS[0], "blank"): "inform", (IDS[0], "dark"): "warn", (IDS[0], "kept_by_hand"): "inform",
        (IDS[1], "blank"): "quarantine",
    }  # fmt: skip
    line = next(line for line in applied.verdicts.to_pylist() if line["reason"] == "kept_by_hand")
    assert (line["detail"], line["source"], line["measure"]) == ("by ada, it is a moon", "a", "decision")
    assert applied.verdicts.schema == VERDICT_SCHEMA


def test_a_dropped_row_goes_and_a_relabelled_one_says_so():
    applied = decisions.apply(
        verdicts(), rows(), [Decision(IDS[0], "drop", who="ada"), Decision(IDS[1], "relabel", "7", "bo")]
    )
    assert told(applied) == {(IDS[0], "dropped_by_hand"): "quarantine", (IDS[1], "relabelled_by_hand"): "inform"}
    assert applied.rows["label"].to_pylist() == ["1", "7", "1"]
    assert applied.rows["op"].to_pylist() == [None, "planted; relabel 1 to 7 by bo", None]
    assert applied.rows.schema == ROW_SCHEMA


def test_what_cannot_be_honoured_is_counted_and_changes_nothing():
    given = verdicts((IDS[2], "corrupt", "quarantine"))
    applied = decisions.apply(given, rows(), [
        Decision(IDS[2], "keep", who="ada"),
        Decision(IDS[0], "drop", who="ada", content="another picture"),
        Decision(row_id("d"), "drop", who="ada"),
    ])  # fmt: skip
    assert applied.verdicts.equals(given)
    assert applied.counts == {"keep": 0, "drop": 0, "relabel": 0, "undecodable": 1, "changed": 1, "gone": 1}
    assert applied.rows.equals(rows())


def test_the_beginning_of_an_id_is_not_taken_for_a_row_that_is_gone():
    with pytest.raises(DataError, match=r"whole id of 64 digits.*--apply"):
        decisions.apply(verdicts(), rows(), [Decision(IDS[0][:12], "drop", who="ada")])


def test_without_decisions_nothing_changes():
    given = verdicts((IDS[0], "blank", "quarantine"))
    applied = decisions.apply(given, rows(), [])
    assert applied.verdicts.equals(given)
    assert sum(applied.counts.values()) == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("id,decision\n", "'who'"),
        (HEADER.replace("note", "notes"), "'notes'"),
        ("", "first line must name"),
        (HEADER + f"{IDS[0]},delete,,ada,\n", r"line 2: the decision is 'delete'.*keep, drop, relabel"),
        (HEADER + f"{IDS[0]},relabel,,ada,\n", r"line 2: relabel needs the new label"),
        (HEADER + f"{IDS[0]},keep,7,ada,\n", r"line 2: keep takes no label, not '7'"),
        (HEADER + f"{IDS[0]},keep,,,\n", r"line 2: nobody is named"),
        (HEADER + "abc,keep,,ada,\n", r"line 2: 'abc' is no row id"),
        (HEADER + "images/7.png,keep,,ada,\n", r"no row id"),
        (HEADER + f"{IDS[0]},keep,,ada,a, b\n", r"line 2: more values than columns"),
        (HEADER + f"{IDS[0]},keep,,ada,\n{IDS[0]},drop,,bo,\n", r"line 3 repeats row .* of line 2"),
    ],
)
def test_a_wrong_line_is_one_sentence(tmp_path, text, sentence):
    place = tmp_path / "decisions.csv"
    place.write_text(text)
    with pytest.raises(DataError, match=sentence):
        decisions.read(place)


def test_a_file_from_a_spreadsheet_is_read(tmp_path):
    place = tmp_path / "decisions.csv"
    place.write_bytes(f'id,decision,who,note\r\n{IDS[0]},keep,Ada ,"moon, full"\r\n'.encode("utf-8-sig"))
    assert decisions.read(place) == [Decision(IDS[0], "keep", "", "Ada", "moon, full")]
    place.write_bytes("id,decision,who\nabcdef,keep,Zoë\n".encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        decisions.read(place)
    assert decisions.read(tmp_path / "absent.csv") == []


def test_ids_may_be_short_and_what_was_seen_is_written_down(tmp_path):
    found = decisions.resolve([Decision(IDS[0][:8], "relabel", "7", "ada")], rows(), ["1", "7"])
    assert (found[0].id, found[0].content) == (IDS[0], "ha")
    merged = decisions.merge([Decision(IDS[1], "keep", who="bo"), Decision(IDS[0], "keep", who="bo")], found)
    place = tmp_path / "decisions.csv"
    decisions.write(place, merged)
    assert sorted(d.decision for d in decisions.read(place)) == ["keep", "relabel"]
    first = place.read_bytes()
    decisions.write(place, reversed(merged))
    assert place.read_bytes() == first
    for wrong, sentence in (
        ([Decision("0" * 8, "keep")], "beginning of no row"),
        ([Decision(IDS[0], "relabel", "8")], r"cannot get the label '8': known are 1, 7"),
        ([Decision(IDS[0], "keep", content="hb")], "exchanged since the page was made"),
        ([Decision(IDS[0], "keep"), Decision(IDS[0][:8], "drop")], "decided twice"),
    ):
        with pytest.raises(DataError, match=sentence):
            decisions.resolve(wrong, rows(), ["1", "7"])


def test_curation_honours_them_and_nothing_is_lost(make):
    files = {f"{label}/{n}.png": make.png(10 * label + n) for label in (1, 2) for n in range(6)}
    files["1/grey.png"] = make.png(99, 12, 1)[:40]
    config = make.config("folder", make.folder(files), split={"reference": 0, "train": 1, "test": 0})
    paths = make.paths()
    ingest(config, paths)
    measure(config, paths)
    curate(config, paths)
    table = pq.read_table(paths.ingested / "rows.parquet")
    broken = table.filter(pc.is_null(table["content_hash"]))["id"][0].as_py()
    good = [row for row in table.to_pylist() if row["content_hash"]]
    version = read_json(paths.curated / "card.json")["version"]
    chosen = [Decision(broken, "keep", who="ada"), Decision(good[0]["id"], "drop", who="ada"),
              Decision(good[1]["id"], "relabel", "2" if good[1]["label"] == "1" else "1", "ada")]  # fmt: skip
    decisions.write(paths.decisions, chosen)
    result = curate(config, paths)
    assert "decisions of people: 1 drop, 1 relabel, 1 undecodable" in result.summary
    card = read_json(paths.curated / "card.json")
    kept = pq.read_table(paths.curated / "rows.parquet")
    away = pq.read_table(paths.quarantine / "part-0.parquet")
    assert card["version"] != version
    assert card["parameters"]["decisions"]["drop"] == 1
    assert card["dropped"] == {"corrupt": 1, "dropped_by_hand": 1}
    assert kept.num_rows + away.num_rows == table.num_rows
    assert set(away["id"].to_pylist()) == {broken, good[0]["id"]}
    label = dict(zip(kept["id"].to_pylist(), kept["label"].to_pylist(), strict=True))[good[1]["id"]]
    assert label == chosen[2].label
