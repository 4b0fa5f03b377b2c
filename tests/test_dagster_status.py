"""In every situation Dagster calls exactly those assets stale or missing that `dvc status` names; no reload in between."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dvc_toys import Page, changed_for_dvc, dvc, make_repository

FILES = {
    "dvc.yaml": """
stages:
  make:
    cmd: python make.py
    deps: [make.py, raw]
    params: [n]
    outs: [out/number.txt, out/raw.txt]
  number:
    cmd: python copy.py out/number.txt out/number_copy.txt
    deps: [copy.py, out/number.txt]
    outs: [out/number_copy.txt]
  raw:
    cmd: python copy.py out/raw.txt out/raw_copy.txt
    deps: [copy.py, out/raw.txt]
    params: [limit]
    outs: [out/raw_copy.txt]
""",
    "params.yaml": "n: 5\nlimit: 1\n",
    "raw/one.txt": "raw",
    "make.py": """
import pathlib, re
n = int(re.search(r"^n: (-?\\d+)", open("params.yaml").read(), re.M)[1])
if n < 0: raise SystemExit("n must be positive")
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/number.txt").write_text(str(n))
pathlib.Path("out/raw.txt").write_text("".join(p.read_text() for p in sorted(pathlib.Path("raw").iterdir())))
""",
    "copy.py": "import shutil, sys\nshutil.copyfile(*sys.argv[1:])\n",
}
ALL = {"make", "number", "raw"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository after `dvc repro`."""
    root = make_repository(tmp_path_factory.mktemp("made") / "toy", FILES)
    dvc(root, "repro")
    return root


@pytest.fixture
def page(made: Path, tmp_path: Path) -> Iterator[Page]:
    """A copy of it that Dagster knows."""
    root = tmp_path / "toy"
    shutil.copytree(made, root)
    with dg.DagsterInstance.ephemeral() as instance:
        page = Page(root, instance)
        page.tick()
        yield page


def edit(page: Page, name: str, old: str, new: str) -> None:
    text = (page.root / name).read_text()
    assert old in text
    (page.root / name).write_text(text.replace(old, new))


def nothing(page: Page) -> None:
    pass


def parameter_edited(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: 6")


def parameter_edited_and_run(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: 6")
    dvc(page.root, "repro")


def parameter_edited_and_one_stage_run(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: 6")
    dvc(page.root, "repro", "--single-item", "make")


def parameter_edited_and_run_by_dagster(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: 6")
    assert page.materialize("make", "number").success


def parameter_reverted(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: 6")
    page.tick()
    edit(page, "params.yaml", "n: 6", "n: 5")


def code_edited(page: Page) -> None:
    edit(page, "copy.py", "import", "# another line\nimport")


def run_to_the_same_bytes(page: Page) -> None:
    edit(page, "make.py", "import", "# another line\nimport")
    dvc(page.root, "repro")


def run_to_the_same_bytes_by_dagster(page: Page) -> None:
    edit(page, "make.py", "import", "# another line\nimport")
    assert page.materialize("make").success


def raw_file_changed(page: Page) -> None:
    (page.root / "raw/one.txt").write_text("other")


def raw_file_added(page: Page) -> None:
    (page.root / "raw/two.txt").write_text("more")


def command_edited(page: Page) -> None:
    edit(page, "dvc.yaml", "cmd: python make.py", "cmd: python ./make.py")


def out_deleted(page: Page) -> None:
    (page.root / "out/number_copy.txt").unlink()


def out_between_deleted(page: Page) -> None:
    (page.root / "out/number.txt").unlink()


def out_edited_by_hand(page: Page) -> None:
    path = page.root / "out/number.txt"
    path.unlink()  # it may be a link into the cache
    path.write_text("7")


def out_restored(page: Page) -> None:
    out_deleted(page)
    page.tick()
    dvc(page.root, "checkout")


def lock_of_another_commit(page: Page) -> None:
    before = (page.root / "dvc.lock").read_text()
    parameter_edited_and_run(page)
    page.tick()
    (page.root / "dvc.lock").write_text(before)


def lock_and_outs_of_another_commit(page: Page) -> None:
    lock_of_another_commit(page)
    edit(page, "params.yaml", "n: 6", "n: 5")
    dvc(page.root, "checkout", "--force")


def lock_deleted(page: Page) -> None:
    (page.root / "dvc.lock").unlink()


def cache_emptied(page: Page) -> None:
    shutil.rmtree(page.root / ".dvc/cache")
    page.cursor = ""  # no file that a stage names was touched: seen at the look that comes every few minutes


def stage_failed(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: -1")
    dvc(page.root, "repro", fails=True)


def stage_failed_in_dagster(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: -1")
    assert not page.materialize().success


def stage_frozen(page: Page) -> None:
    edit(page, "dvc.yaml", "    cmd: python make.py", "    frozen: true\n    cmd: python make.py")
    edit(page, "params.yaml", "n: 5", "n: 6")


def stage_always_changed(page: Page) -> None:
    edit(page, "dvc.yaml", "    cmd: python make.py", "    always_changed: true\n    cmd: python make.py")
    dvc(page.root, "repro")


def parameter_that_nobody_reads(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: 5\nother: 1")


def stages_run_by_dagster_before_any_look(page: Page) -> None:
    edit(page, "params.yaml", "n: 5", "n: 8")
    dvc(page.root, "repro", "make")
    assert page.materialize("number").success


#: What is done after everything has run, and the assets that are not fresh afterwards.
SITUATIONS: list[tuple[Callable[[Page], None], set[str]]] = [
    (nothing, set()),
    (parameter_edited, {"make"}),
    (parameter_edited_and_run, set()),
    (parameter_edited_and_one_stage_run, {"number"}),
    (parameter_edited_and_run_by_dagster, set()),
    (parameter_reverted, set()),
    (code_edited, {"number", "raw"}),
    (run_to_the_same_bytes, set()),
    (run_to_the_same_bytes_by_dagster, set()),
    (raw_file_changed, {"make"}),
    (raw_file_added, {"make"}),
    (command_edited, {"make"}),
    (out_deleted, {"number"}),
    (out_between_deleted, {"make", "number"}),
    (out_edited_by_hand, {"make", "number"}),
    (out_restored, set()),
    (lock_of_another_commit, {"make", "number"}),
    (lock_and_outs_of_another_commit, set()),
    (lock_deleted, ALL),
    (cache_emptied, ALL),
    (stage_failed, ALL),
    (stage_failed_in_dagster, ALL),
    (stage_frozen, set()),
    (stage_always_changed, {"make"}),
    (parameter_that_nobody_reads, set()),
    (stages_run_by_dagster_before_any_look, set()),
]


@pytest.mark.parametrize(("situation", "expected"), SITUATIONS, ids=[one.__name__ for one, _ in SITUATIONS])
def test_dagster_names_the_stages_that_dvc_names(
    page: Page, situation: Callable[[Page], None], expected: set[str]
) -> None:
    assert page.changed() == set()
    situation(page)
    page.tick()
    assert page.changed() == expected
    assert changed_for_dvc(page.root) == expected
    assert page.tick() == []  # a second look finds no news
    assert page.changed() == expected


def test_nothing_has_run(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "toy", FILES)
    with dg.DagsterInstance.ephemeral() as instance:
        page = Page(root, instance)
        assert page.tick() == []
        assert page.statuses() == dict.fromkeys(ALL, "MISSING")
        assert changed_for_dvc(root) == ALL
        assert page.materialize().success
        assert page.changed() == changed_for_dvc(root) == set()
        page.tick()
        assert page.changed() == set()


def test_a_fresh_clone_without_data_has_made_nothing(made: Path, tmp_path: Path) -> None:
    root = make_repository(tmp_path / "clone", FILES)
    shutil.copy(made / "dvc.lock", root)
    with dg.DagsterInstance.ephemeral() as instance:
        page = Page(root, instance)
        assert page.tick() == []
        assert page.statuses() == dict.fromkeys(ALL, "MISSING")
        assert "make (out/number.txt deleted)" in page.words
        # A part of the data arrives, say by `dvc pull make`: that part counts.
        shutil.copytree(made / ".dvc/cache", root / ".dvc/cache")
        dvc(root, "checkout", "make")
        assert page.tick() == ["make"]
        assert page.statuses() == {"make": "FRESH", "number": "MISSING", "raw": "MISSING"}
        assert changed_for_dvc(root) == {"number", "raw"}


def test_an_out_with_other_bytes_is_not_taken_for_the_locked_one(made: Path, tmp_path: Path) -> None:
    root = make_repository(tmp_path / "clone", {**FILES, "out/number.txt": "9", "out/raw.txt": "raw"})
    shutil.copy(made / "dvc.lock", root)
    with dg.DagsterInstance.ephemeral() as instance:
        page = Page(root, instance)
        assert page.tick() == []
        assert page.statuses()["make"] == "MISSING"
        (root / "out/number.txt").write_text("5")
        assert page.tick() == ["make"]


def test_observing_by_hand_says_the_same_without_the_sensor(page: Page) -> None:
    parameter_edited(page)
    assert page.materialize("dvc_status").success
    assert page.changed() == {"make"}
    assert "make" not in page.tick()
    assert page.changed() == {"make"}


def test_the_reason_is_said(page: Page) -> None:
    parameter_edited(page)
    (page.root / "out/raw_copy.txt").unlink()
    page.tick()
    assert "make (n of params.yaml modified)" in page.words
    records = page.instance.fetch_observations(
        dg.AssetRecordsFilter(dg.AssetKey("dvc_status"), asset_partitions=["raw"]), limit=1
    ).records
    shown = records[0].asset_observation.metadata
    assert shown["changed"].value == ["out/raw_copy.txt deleted"]


def test_a_broken_file_is_a_sentence_and_not_an_error(page: Page) -> None:
    edit(page, "dvc.yaml", "stages:", "stages: [")
    assert page.tick() == []
    assert "dvc.yaml" in page.words
    edit(page, "dvc.yaml", "stages: [", "stages:")
    edit(page, "params.yaml", "n: 5", "n: [")
    page.tick()
    assert "params.yaml" in page.words


def test_a_stage_that_the_page_lacks_is_named(page: Page) -> None:
    (page.root / "dvc.yaml").write_text(
        FILES["dvc.yaml"] + "  later:\n    cmd: python copy.py raw/one.txt out/later.txt\n    outs: [out/later.txt]\n"
    )
    page.tick()
    assert re.search(r"lacks: later\b", page.words)
    assert page.changed() == set()
