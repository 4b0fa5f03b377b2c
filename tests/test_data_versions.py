"""Versions of data in words: `aigc data log` and `aigc data diff`, on two commits of a small folder, through real git and DVC."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Makers
from typer.testing import CliRunner

from aigc_core import cli
from aigc_core.commands import data_changes, data_versions, revisions
from aigc_core.commands.data_diff import diff
from aigc_core.commands.data_log import log
from aigc_core.errors import DataError
from aigc_core.files import read_json, write_json, write_table
from aigc_core.modalities import image
from aigc_core.paths import Paths
from aigc_core.quality import decisions
from aigc_core.records import ROW_SCHEMA, VERDICT_SCHEMA, row_id
from aigc_core.stages.augment import augment
from aigc_core.stages.curate import curate
from aigc_core.stages.ingest import ingest
from aigc_core.stages.measure import measure

GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "DVC_NO_ANALYTICS": "1",
}  # fmt: skip
GRAPH = {
    "stages": {
        "ingest": {"cmd": "true", "outs": ["data/content", "data/ingested"]},
        "curate": {"cmd": "true", "outs": ["data/verdicts", "data/quarantine", "data/curated"]},
        "augment": {"cmd": "true", "outs": ["data/augmented"]},
    }
}


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, env={**os.environ, **GIT}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(folder, *command):
    return run(folder, sys.executable, "-m", "dvc", *command)


def blank():
    return image.encode_png(np.full((12, 12, 1), 9, np.uint8))


class History:
    """A checkout whose tag v1 holds 30 files, and whose tag v2 and workspace hold what became of them.

    From v1 to v2: `1/new <b>.png` came, `1/04.png` went, `1/05.png` is called `1/moved.png`, `1/06.png` shows something else,
    `1/07.png` was relabelled by hand, `2/08.png` became blank; the blank `2/blank.png` is kept by hand.
    """

    def __init__(self, root):
        self.make = Makers(root)
        self.files = {
            f"{label}/{n:02d}.png": self.make.png(100 * label + n, channels=1) for label in (1, 2) for n in range(14)
        }
        self.files |= {"1/copy.png": self.files["1/00.png"], "2/blank.png": blank()}
        self.paths = self.make.paths()
        self.root = self.paths.root
        self.root.mkdir()
        (self.root / "params.yaml").write_text("{}\n")
        (self.root / "dvc.yaml").write_text(yaml.safe_dump(GRAPH))
        run(self.root, "git", "init", "-q", "-b", "main")
        dvc(self.root, "init", "-q")
        self.commit("v1", 0.02)
        self.change()
        self.commit("v2", 0.03)

    def change(self):
        files = self.files
        del files["1/04.png"]
        files |= {"1/new <b>.png": self.make.png(7, channels=1), "1/moved.png": files.pop("1/05.png")}
        files |= {"1/06.png": self.make.png(8, channels=1), "2/08.png": blank()}
        kept = decisions.Decision(row_id("2/blank.png"), "keep", who="ada")
        decisions.write(self.paths.decisions, [kept, decisions.Decision(row_id("1/07.png"), "relabel", "2", "ada")])

    def commit(self, tag, blank_std):
        shutil.rmtree(self.make.root / "images", ignore_errors=True)
        quality = {"blank": {"action": "quarantine", "max_std": blank_std}, "max_quarantined_share": 1.0}
        config = self.make.config("folder", self.make.folder(self.files), quality=quality)
        for stage in (ingest, measure, curate, augment):
            stage(config, self.paths)
        dvc(self.root, "commit", "-q", "-f")
        run(self.root, "git", "add", "-f", "dvc.lock", "dvc.yaml", "params.yaml", ".dvc/config")
        run(self.root, "git", "commit", "-q", "-m", f"data {tag}")
        run(self.root, "git", "tag", tag)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return History(tmp_path_factory.mktemp("history"))


@pytest.fixture
def copy(history, tmp_path):
    """A checkout of its own, to be damaged."""
    shutil.copytree(history.root, tmp_path / "copy")
    return Paths(tmp_path / "copy")


def by_name(result, state):
    return {line["name"]: line for line in result.facts["versions"] if state in line["states"]}


def groups(result, words):
    return next((line for line in result.facts["notices"] if words in line.split(":")[0]), "")


def test_log_tells_of_the_workspace_alone_unless_asked(history):
    result = log(history.paths)
    assert [line["name"] for line in result.facts["versions"]] == ["ingested", "curated", "augmented"]
    ingested, curated, augmented = result.facts["versions"]
    assert (ingested["parent"], ingested["operation"], ingested["rows"], ingested["quarantined"]) == (
        None,
        "ingest",
        30,
        None,
    )
    assert (curated["parent"], curated["operation"]) == (ingested["version"], "curate")
    assert curated["rows"] + curated["quarantined"] == ingested["rows"]
    assert curated["reasons"] == {"blank": 1, "duplicate_exact": 2}
    assert (augmented["parent"], augmented["operation"]) == (curated["version"], "augment")
    assert sum(augmented["splits"].values()) == augmented["rows"] > curated["rows"]
    assert result.facts["notices"] == []


@pytest.mark.parametrize("asked", [{"all_commits": True}, {"revisions": ["v2", "v1"]}])
def test_log_tells_of_history_newest_first_and_a_version_once(history, asked, capsys):
    result = log(history.paths, **asked)
    assert result.metrics == {"versions": 6, "revisions": 2}
    places = [line["states"] for line in result.facts["versions"]]
    assert [len(states) for states in places] == [2, 2, 2, 1, 1, 1]
    old = by_name(result, places[-1][0])
    assert old["ingested"]["version"] != by_name(result, "workspace")["ingested"]["version"]
    assert old["curated"]["reasons"] == {"blank": 1, "duplicate_exact": 1}
    said = capsys.readouterr().out
    assert "data v1" in said
    assert all(line["version"] in said for line in result.facts["versions"])


def test_diff_counts_every_kind_of_change(history):
    result = diff(history.paths, "v1", "curated")
    expected = {
        "added": 3,
        "removed": 3,
        "label": 1,
        "picture": 1,
        "caption": 0,
        "operation": 1,
        "note": 0,
        "verdict": 3,
    }
    assert {kind: result.metrics[kind] for kind in expected} == expected
    assert "2 new in the source; 1 before quarantined (blank)" in groups(result, "added")
    assert "2 no longer read; 1 now quarantined (blank, duplicate_exact)" in groups(result, "removed")
    assert "1 from '1' to '2'" in groups(result, "another label")
    assert "from quarantined (blank) to kept, informed of (blank, kept_by_hand)" in groups(result, "another verdict")
    assert "blank.max_std from 0.02 to 0.03" in groups(result, "parameters")
    assert "1 has the pixels" in groups(result, "of the rows added")
    reasons = {
        (line["action"], line["reason"]): (line["first"], line["second"], line["change"])
        for line in result.facts["reasons"]
    }
    assert reasons["quarantine", "duplicate_exact"] == (1, 2, 1)
    assert reasons["quarantine", "blank"] == (1, 1, 0)
    assert reasons["inform", "kept_by_hand"] == (0, 1, 1)


def test_diff_the_other_way_round_is_the_mirror(history):
    there, back = diff(history.paths, "v1", "v2"), diff(history.paths, "v2", "v1")
    assert back.metrics == {**there.metrics, "added": there.metrics["removed"], "removed": there.metrics["added"]}
    assert [line["change"] for line in back.facts["reasons"]] == [-line["change"] for line in there.facts["reasons"]]


def test_a_version_does_not_differ_from_itself(history):
    for first, second in [("curated", "curated"), ("v2", "curated"), ("v2:data/ingested/", "data/ingested")]:
        result = diff(history.paths, first, second)
        assert not any(result.metrics.values()), first


def test_what_curation_took_out_has_its_reasons(history):
    result = diff(history.paths, "ingested", "curated")
    assert result.metrics["removed"] == 2
    assert "1 now quarantined (duplicate_exact)" in groups(result, "removed")
    assert {line["first"] for line in result.facts["reasons"]} == {None}, "nothing had judged what was only ingested"
    assert groups(result, "verdicts are not compared")
    back = diff(history.paths, "curated", "ingested")
    assert "before quarantined (duplicate_exact)" in groups(back, "added")


def test_augmented_rows_are_told_apart_from_new_files(history):
    result = diff(history.paths, "curated", "augmented")
    assert result.metrics["added"] == by_name(log(history.paths), "workspace")["augmented"]["splits"]["train"] / 2
    assert "newly derived" in groups(result, "added")
    assert "new in the source" not in groups(result, "added")


def test_the_page_fetches_nothing_and_shows_pictures_of_both(history):
    result = diff(history.paths, "v1", "curated")
    text = (history.root / result.facts["page"]).read_text(encoding="utf-8")
    sources = re.findall(r"(?:src|href)=\"([^\"]*)\"", text)
    pictures = [source for source in sources if source.startswith("data:image/png")]
    assert len(pictures) == sum(result.metrics.values()) + result.metrics["picture"], "a changed picture is there twice"
    assert all(source.startswith("data:") for source in sources)
    assert not re.search(r"url\(|@import|https?://|cannot be shown", text)
    assert str(history.root) not in text
    assert "new &lt;b&gt;.png" in text
    assert "<b>.png" not in text


def test_examples_are_capped_and_come_from_every_group():
    lines = [(f"{n:03d}", "many") for n in range(100)] + [("x", "rare")]
    change = data_changes._grouped("removed", lines)
    assert (change.total, change.groups) == (101, [("many", 100), ("rare", 1)])
    assert len(change.examples) == data_changes.EXAMPLES
    assert ("x", "rare") in change.examples


def test_values_that_come_and_go_are_changes_and_nulls_are_equal():
    none = dict.fromkeys(ROW_SCHEMA.names)

    def side(*labels):
        rows = [
            {**none, "id": str(n), "split": "train", "source": str(n), "label": label} for n, label in enumerate(labels)
        ]
        return data_changes.Side(pa.Table.from_pylist(rows, ROW_SCHEMA), None, pa.array(["0"]), {}, {})

    changes, _ = data_changes.compare(side(None, "a", None, "a"), side(None, None, "a", "a"))
    assert {change.kind: change.total for change in changes if change.total} == {"label": 2}


def test_the_verdict_of_a_row_that_both_quarantined(copy):
    before = pq.read_table(copy.verdicts / "part-0.parquet")
    lines = [{**line, "reason": "dark"} if line["reason"] == "duplicate_exact" and line["source"] != "2/08.png" else line for line in before.to_pylist()]  # fmt: skip
    write_table(copy.verdicts / "part-0.parquet", pa.Table.from_pylist(lines, VERDICT_SCHEMA))
    result = diff(copy, "v2", "curated")
    assert {kind: count for kind, count in result.metrics.items() if count} == {"verdict": 1}
    assert "from quarantined (duplicate_exact) to quarantined (dark)" in groups(result, "verdict")


def cache_of(paths, place):
    outs = revisions.locked_outs(paths.root, revisions.find_commit(paths.root, "v1"))
    return revisions.Cache(paths.root / ".dvc/cache"), outs[place]


def test_what_the_cache_lacks_is_named_with_the_command_that_brings_it(copy):
    cache, out = cache_of(copy, "data/curated")
    cache.file(out.md5).unlink()
    with pytest.raises(DataError, match=r"dvc fetch --all-commits data/curated"):
        diff(copy, "v1", "curated")
    result = log(copy, all_commits=True)
    assert result.metrics["versions"] == 5
    assert any("data/curated of" in notice and "dvc fetch" in notice for notice in result.facts["notices"])
    with pytest.raises(DataError, match=r"data/curated of v1"):
        diff(copy, "v1:curated", "curated")


def test_pictures_that_the_cache_lacks_are_named_and_the_rest_is_told(copy):
    cache, out = cache_of(copy, "data/content")
    cache.file(out.md5).unlink()
    result = diff(copy, "v1", "curated")
    assert result.metrics["removed"] == 3
    assert any("no pictures of" in notice and "data/content of v1" in notice for notice in result.facts["notices"])
    assert "cannot be shown" in (copy.root / result.facts["page"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["rows.parquet", "card.json"])
@pytest.mark.parametrize("content", [b"", b"PAR1 nothing", b"[]"])
def test_a_damaged_file_is_one_sentence(copy, name, content):
    (copy.curated / name).unlink()  # it may be a link into the cache
    (copy.curated / name).write_bytes(content)
    with pytest.raises(DataError, match=r"curated of workspace"):
        diff(copy, "v1", "curated")


def test_a_damaged_shard_costs_pictures_only(copy):
    for shard in copy.content.iterdir():
        shard.unlink()
        shard.write_bytes(b"nothing")
    result = diff(copy, "v1", "curated")
    assert any("no pictures of" in notice for notice in result.facts["notices"])


def test_a_card_never_leads_outside_data(copy):
    card = copy.curated / "card.json"
    facts = {**read_json(card), "content": ["../../../secret"]}
    card.unlink()
    write_json(card, facts)
    result = diff(copy, "v1", "curated")
    assert any("outside data/" in notice for notice in result.facts["notices"])


def test_versions_of_an_earlier_program_are_read_and_what_they_lack_is_said(copy):
    card, rows = copy.curated / "card.json", copy.curated / "rows.parquet"
    facts, table = read_json(card), pq.read_table(rows)
    for path in (card, rows):
        path.unlink()
    del facts["consent"]
    write_json(card, {**facts, "tool": "aigc 0.0.9", "unknown": 1})
    write_table(rows, table.drop_columns(["note", "text"]))
    result = diff(copy, "v2", "curated")
    assert not any(result.metrics.values())
    told = " ".join(result.facts["notices"])
    assert "caption is unknown of" in told
    assert "note is unknown of" in told
    assert "0.0.9" in told


def test_a_version_whose_parent_went_is_noticed(copy):
    shutil.rmtree(copy.ingested)
    result = log(copy)
    assert by_name(result, "workspace").keys() == {"curated", "augmented"}
    assert any("data/curated was made from" in notice for notice in result.facts["notices"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "'nowhere' is no git revision"),
        ("v1..v2", "not a range"),
        ("v1:models", "no version 'models'"),
        ("quarantine", "data diff ingested curated"),
        ("--output=x", "no git revision"),
        ("", "no git revision"),
        ("\x1b[31m", "no git revision"),
    ],
)
def test_names_that_mean_nothing(history, name, words):
    with pytest.raises(DataError) as error:
        diff(history.paths, name, "curated")
    assert words in str(error.value)
    assert "\x1b" not in str(error.value)


def test_a_version_that_is_not_there_yet(copy):
    shutil.rmtree(copy.augmented)
    with pytest.raises(DataError, match=r"dvc checkout.*dvc repro augment"):
        diff(copy, "curated", "augmented")


def test_revisions_without_a_readable_record_are_counted(copy):
    (copy.root / "dvc.lock").write_text("<<<<<<< HEAD\n")
    run(copy.root, "git", "commit", "-q", "-am", "a conflict \x1b[31m")
    run(copy.root, "git", "rm", "-q", "dvc.lock")
    run(copy.root, "git", "commit", "-q", "-m", "gone")
    result = log(copy, all_commits=True)
    assert result.metrics == {"versions": 6, "revisions": 2}
    assert len(result.facts["notices"]) == 2
    assert not any("\x1b" in notice for notice in result.facts["notices"])
    with pytest.raises(DataError, match=r"no dvc\.lock"):
        log(copy, ["HEAD"])


def test_a_shallow_clone_says_so(history, tmp_path):
    run(tmp_path, "git", "clone", "-q", "--depth", "1", f"file://{history.root}", "clone")
    clone = Paths(tmp_path / "clone")
    with pytest.raises(DataError, match=r"unshallow.*dvc fetch"):
        log(clone, all_commits=True)


def test_without_git_the_workspace_is_told_and_history_refused(copy):
    shutil.rmtree(copy.root / ".git")
    assert log(copy).metrics["versions"] == 3
    with pytest.raises(DataError, match="no git repository"):
        log(copy, all_commits=True)
    with pytest.raises(DataError, match="no git repository"):
        diff(copy, "HEAD", "curated")


def test_a_checkout_without_versions(make):
    paths = make.paths()
    paths.root.mkdir()
    with pytest.raises(DataError, match="dvc repro"):
        log(paths)


def test_a_cache_elsewhere_and_an_experiment(copy, tmp_path):
    shutil.move(copy.root / ".dvc/cache", tmp_path / "shared")
    dvc(copy.root, "cache", "dir", "--local", str(tmp_path / "shared"))
    run(copy.root, "git", "update-ref", "refs/exps/00/1234/brave-name", "v1")
    assert diff(copy, "brave-name", "v1").metrics["removed"] == 0
    assert log(copy, ["brave-name"]).metrics == {"versions": 6, "revisions": 1}


def test_a_checkout_in_a_folder_of_a_repository(copy, tmp_path):
    (tmp_path / "outer").mkdir()
    shutil.move(copy.root, tmp_path / "outer/inner")
    shutil.rmtree(tmp_path / "outer/inner/.git")
    shutil.rmtree(tmp_path / "outer/inner/.dvc/tmp", ignore_errors=True)
    (tmp_path / "outer/inner/.dvc/config").write_text("[core]\n    no_scm = true\n")
    run(tmp_path / "outer", "git", "init", "-q")
    run(tmp_path / "outer", "git", "add", "-f", "inner/dvc.lock")
    run(tmp_path / "outer", "git", "commit", "-q", "-m", "all")
    inner = Paths(tmp_path / "outer/inner")
    assert not any(diff(inner, "HEAD", "curated").metrics.values())
    assert log(inner, all_commits=True).metrics["revisions"] == 1


def test_the_command_line(history, monkeypatch):
    monkeypatch.chdir(history.root)
    shown = CliRunner().invoke(cli.app, ["data", "log", "--all-commits"])
    assert shown.exit_code == 0, shown.output
    assert "2 revisions" in shown.output
    told = CliRunner().invoke(cli.app, ["data", "diff", "v1"])
    assert told.exit_code == 0, told.output
    assert "3 rows added" in told.output
    with pytest.raises(DataError):
        CliRunner().invoke(cli.app, ["data", "diff", "nowhere"], catch_exceptions=False)


def test_versions_are_told_in_the_order_of_the_stages():
    assert data_versions.in_order(["zebra", "augmented", "curated", "ingested"]) == [
        "ingested",
        "curated",
        "augmented",
        "zebra",
    ]
