"""What rows that came since a git revision bought: which rows these are, and what happens where nobody can say."""

import os
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import study_data as data

from aigc_core.ablation import live, since
from aigc_core.ablation.plan import check_unchanged, resolve
from aigc_core.ablation.pool import open_pool
from aigc_core.ablation.recipes import Recipe
from aigc_core.config import parse
from aigc_core.data.store import Version, write_version
from aigc_core.errors import ConfigError, NoStudyError
from aigc_core.paths import Paths
from aigc_core.records import row_id

BEFORE, NOW = 120, 180
JUNE = {"name": "june", "since": "v1"}


def call(paths: Paths, *command: str) -> str:
    names = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_COMMITTER_NAME": "a",
        "DVC_NO_ANALYTICS": "1",
    }
    mails = {"GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_EMAIL": "a@example.org"}
    done = subprocess.run(command, cwd=paths.root, env={**os.environ, **names, **mails}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dvc(paths: Paths, *words: str) -> None:
    call(paths, sys.executable, "-m", "dvc", *words, "--quiet")


def commit(paths: Paths) -> None:
    dvc(paths, "add", "data/ingested")
    call(paths, "git", "add", ".")
    call(paths, "git", "commit", "--quiet", "--message", "data")


def hashes_of(paths: Paths, folder: str = "") -> dict[str, str]:
    train = Version.open(paths.ingested).select("train")
    lines = zip(train["id"].to_pylist(), train["content_hash"].to_pylist(), train["source"].to_pylist(), strict=True)
    return {identity: content for identity, content, source in lines if source.startswith(folder)}


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Paths:
    """Tag v1: clean data of 120 training rows. Its branch now: 180 of them, and 27 that curation takes out."""
    paths = Paths(tmp_path_factory.mktemp("history"))
    call(paths, "git", "init", "--quiet", "--initial-branch", "trunk")
    dvc(paths, "init")
    (paths.root / ".gitignore").write_text("/.work\n/data/*\n!/data/*.dvc\n")
    data.build(paths)
    rows = Version.open(paths.ingested).rows
    later = [
        *(row_id(f"train/{index}.png") for index in range(BEFORE, NOW)),
        *hashes_of(paths, "blank"),
        *hashes_of(paths, "copy"),
    ]
    shutil.copytree(paths.ingested, paths.work / "now")
    write_version(paths.ingested, rows.filter(pc.invert(pc.is_in(rows["id"], pa.array(later)))), operation="ingest", parent=None,
                  content=["../content"], image=data.IMAGE, parameters={})  # fmt: skip
    commit(paths)
    call(paths, "git", "tag", "v1")
    shutil.rmtree(paths.ingested)
    shutil.move(paths.work / "now", paths.ingested)
    commit(paths)
    call(paths, "git", "tag", "--annotate", "v2", "--message", "second")
    dvc(paths, "remote", "add", "--local", "--default", "shelf", str(tmp_path_factory.mktemp("shelf")))
    dvc(paths, "push", "--all-commits")
    since.added_since("v1", paths, {})  # what was brought once is kept
    return paths


@pytest.fixture
def paths(original, tmp_path) -> Paths:
    """A copy of it, which a test may break."""
    shutil.copytree(original.root, tmp_path / "copy", symlinks=True)
    return Paths(tmp_path / "copy")


def forget(paths: Paths) -> None:
    shutil.rmtree(paths.root / ".dvc/cache")
    shutil.rmtree(paths.work / "history")


def test_the_recipe_without_the_decision_lacks_the_rows_that_came_later(paths):
    choose = data.chooser(paths, decisions=["curate", JUNE])
    full, without, control = (set(choose.select(recipe, 0).ids) for recipe in
                              (Recipe(), Recipe(off=("june",)), Recipe(random="june")))  # fmt: skip
    assert full - without == {row_id(f"train/{index}.png") for index in range(BEFORE, NOW)}
    assert len(control) == len(without) == BEFORE
    assert control != without


def test_the_plan_says_of_which_commit_and_how_many_rows_and_is_found_unchanged(paths):
    config = data.settings(decisions=[JUNE])
    plan = resolve(config, paths).plan
    told = {arm["name"]: arm["since"] for arm in plan.arms if "since" in arm}
    head = call(paths, "git", "rev-parse", "v1^{commit}")
    # The blanks are new as well; each copy has a picture that v1 had under another name.
    added = NOW - BEFORE + data.BLANKS
    assert told.keys() == {"without_june"}
    facts = told["without_june"]
    assert (facts["revision"], facts["commit"], facts["ids"], facts["moved"]) == ("v1", head, added, data.COPIES)
    assert plan.dataset["ingested"] != facts["version"]
    assert head[:12] in live.additions_in_words(plan)[0]
    shutil.rmtree(paths.root / ".dvc/cache")
    (paths.root / ".dvc/config.local").unlink()
    assert check_unchanged(plan, paths).plan.digest == plan.digest


def test_renamed_and_replaced_rows_are_no_addition_and_are_counted(paths):
    hashes = hashes_of(paths)
    first, second, new = (row_id(f"train/{index}.png") for index in (0, 1, BEFORE))
    plain = since.added_since("v1", paths, hashes)
    hashes["another name"] = hashes.pop(first)
    hashes[second] = hashes[row_id(f"train/{NOW - 1}.png")]
    found = since.added_since("v1", paths, hashes)
    assert found.ids == plain.ids
    assert new in found.ids
    assert (found.moved, found.replaced) == (plain.moved + 1, 1)
    assert "another picture" in since.in_words(found.facts())


@pytest.mark.parametrize("revision", ["v1", "v2"])
def test_a_commit_is_named_by_its_digits_as_well(paths, revision):
    full = call(paths, "git", "rev-parse", f"{revision}^{{commit}}")
    assert {since.commit_of(name, paths.root) for name in (revision, full, full[:8], full[:8].upper())} == {full}


def test_nothing_added_is_no_question(paths):
    with pytest.raises(NoStudyError, match="v2"):
        resolve(data.settings(decisions=[{**JUNE, "since": "v2"}]), paths)
    plan = resolve(data.settings(decisions=["curate", {**JUNE, "since": "v2"}]), paths).plan
    assert [line["arm"] for line in plan.skipped] == ["without_june", "random_june"]


@pytest.mark.parametrize(
    "name", ["trunk", "HEAD", "HEAD~1", "@", "main", "v9", "--help", "v1:data", ":/data", "../v1", ""]
)
def test_what_moves_on_or_does_not_exist_is_refused(paths, name):
    with pytest.raises(ConfigError, match="since"):
        since.commit_of(name, paths.root)
    assert len(list((paths.work / "history").iterdir())) == 1


def test_a_remote_brings_what_the_cache_lacks(paths):
    forget(paths)
    assert open_pool(data.settings(decisions=[JUNE]), paths).own["june"]


def test_data_that_is_nowhere_is_one_sentence_and_leaves_nothing(paths):
    forget(paths)
    (paths.root / ".dvc/config.local").unlink()
    with pytest.raises(ConfigError, match="data/ingested") as told:
        open_pool(data.settings(decisions=[JUNE]), paths)
    assert "Traceback" not in str(told.value)
    assert "\n" not in str(told.value)
    assert not list((paths.work / "history").iterdir())


def test_a_commit_without_data_and_rows_of_another_form_are_one_sentence(paths):
    call(paths, "git", "rm", "--quiet", "--cached", "data/ingested.dvc")
    call(paths, "git", "commit", "--quiet", "--message", "none")
    call(paths, "git", "tag", "empty")
    with pytest.raises(ConfigError, match="data/ingested"):
        since.added_since("empty", paths, {})
    kept = since._rows_at(since.commit_of("v1", paths.root), paths)
    for content in ("{}", "[]", "no json"):
        (kept / "card.json").write_text(content)
        with pytest.raises(ConfigError, match="v1"):
            since.added_since("v1", paths, {})
    (kept / "card.json").write_text('{"version": "a"}')
    (kept / "rows.parquet").write_bytes(b"no table")
    with pytest.raises(ConfigError, match="v1"):
        since.added_since("v1", paths, {})


def test_a_folder_without_history_says_so(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="git"):
        since.commit_of("v1", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="not installed"):
        since.commit_of("v1", tmp_path)


@pytest.mark.parametrize(
    "decision",
    [
        {"name": "june"},
        {"name": "june", "since": "v1", "ids": "own.csv"},
        {"name": "june", "since": "v1", "reasons": ["blank"]},
        {"name": "june", "since": 1.2},
        {"name": "june", "since": ""},
        {"name": "june", "since": "v1\x00"},
        {"name": "june", "since": "two words"},
    ],
)
def test_a_decision_that_says_no_one_thing_is_refused(decision):
    with pytest.raises(ConfigError, match="decisions"):
        parse({"ablation": {"decisions": [decision]}})
