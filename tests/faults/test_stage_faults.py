"""What happens to a stage's inputs while it runs, with DVC itself."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from test_end_to_end import environment, make_checkout, run  # noqa: E402

pytestmark = pytest.mark.slow


def begun(checkout: Path, stage: str) -> tuple[subprocess.Popen[str], Path]:
    """`dvc repro STAGE`, once the stage has read its parameters."""
    records = checkout.parent / "records"
    records.mkdir()
    variables = environment(checkout)
    variables |= {"PYTHONPATH": f"{checkout}:{ROOT / 'tests/recorder'}", "READ_RECORDS": str(records)}
    process = subprocess.Popen(
        ["dvc", "repro", "--single-item", stage],
        cwd=checkout,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not any("field " in file.read_text() for file in records.glob(f"{stage}.*")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    return process, records


def set_steps(checkout: Path, steps: int) -> None:
    parameters = yaml.safe_load((checkout / "params.yaml").read_text())
    parameters["extractor"]["steps"] = steps
    (checkout / "params.yaml").write_text(yaml.safe_dump(parameters))


def test_a_parameter_that_is_edited_meanwhile_is_never_recorded_for_the_older_result(tmp_path):
    checkout = make_checkout(tmp_path / "project", tracking__enabled=False)
    assert run(checkout, "dvc", "repro", "ingest").returncode == 0
    process, _ = begun(checkout, "extractor")
    set_steps(checkout, 7)
    told, _ = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "extractor.steps in params.yaml was 100 and is 7 now" in told
    assert "extractor" not in yaml.safe_load((checkout / "dvc.lock").read_text())["stages"]
    # Put back, the result may be kept, and the run cache knows it for the value that made it alone.
    set_steps(checkout, 100)
    assert run(checkout, "dvc", "commit", "--force", "extractor").returncode == 0
    assert "up to date" in run(checkout, "dvc", "status", "extractor").stdout
    set_steps(checkout, 7)
    assert "changed" in run(checkout, "dvc", "status", "extractor").stdout


def test_a_raw_file_that_comes_while_it_is_read_is_never_recorded_as_read(tmp_path):
    checkout = make_checkout(tmp_path / "project", tracking__enabled=False, source__kind="folder")
    made = "import sys; from PIL import Image; [Image.new('L', (16, 16), n % 256).save(f'{sys.argv[1]}/{n}.png') for n in range(3000)]"
    assert run(checkout, sys.executable, "-c", made, str(checkout / "data/raw")).returncode == 0
    process, _ = begun(checkout, "ingest")
    (checkout / "data/raw/late.png").write_bytes((checkout / "data/raw/0.png").read_bytes())
    told, _ = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "data/raw/late.png was added" in told
    assert not (checkout / "dvc.lock").exists()
    again = run(checkout, "dvc", "repro", "ingest")
    assert again.returncode == 0
    assert "3,001 rows" in again.stdout
