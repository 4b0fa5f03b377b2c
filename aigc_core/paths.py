"""Where everything lies, said once. dvc.yaml names the same places, and a test holds the two together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aigc_core.errors import ConfigError

FAMILIES = ("vae", "gan")


@dataclass(frozen=True)
class Paths:
    """The places of one checkout: `root` holds params.yaml and dvc.yaml, outs are under data/."""

    root: Path

    @classmethod
    def here(cls) -> Paths:
        """The checkout that the current folder is in: the nearest folder upwards that holds params.yaml.

        Raises ConfigError where there is none.
        """
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / "params.yaml").exists():
                return cls(folder)
        raise ConfigError(f"no params.yaml in {here} or above it: run aigc inside a checkout of the project")

    @property
    def data(self) -> Path:
        """All outs."""
        return self.root / "data"

    @property
    def work(self) -> Path:
        """Checkpoints, run ids and times: what may differ from run to run. Ignored by git and DVC."""
        return self.root / ".work"

    @property
    def lock(self) -> Path:
        """DVC's record of versions, read (never written) for the md5 of a stage's inputs."""
        return self.root / "dvc.lock"

    # -- dataset versions and tables ---------------------------------------------------------------
    @property
    def content(self) -> Path:
        """The encoded originals, in shards."""
        return self.data / "content"

    @property
    def ingested(self) -> Path:
        """Every row read, with its split."""
        return self.data / "ingested"

    @property
    def extractor(self) -> Path:
        """The frozen feature extractor."""
        return self.data / "extractor"

    @property
    def measures(self) -> Path:
        """Raw facts per row."""
        return self.data / "measures"

    @property
    def verdicts(self) -> Path:
        """One line per row and reason."""
        return self.data / "verdicts"

    @property
    def quarantine(self) -> Path:
        """Quarantined rows with their original bytes."""
        return self.data / "quarantine"

    @property
    def curated(self) -> Path:
        """The version that models learn from."""
        return self.data / "curated"

    @property
    def validation(self) -> Path:
        """The gate's questions and answers."""
        return self.data / "validation.json"

    @property
    def gate(self) -> Path:
        """Says only that the gate passed: a warning that comes or goes does not train anything again."""
        return self.data / "gate.json"

    @property
    def profile(self) -> Path:
        """What the accepted version looked like; in git, written by a person's `aigc quality accept`."""
        return self.data / "profile.json"

    @property
    def decisions(self) -> Path:
        """What people decided of single rows; in git, written by `aigc quality review --apply`."""
        return self.data / "decisions.csv"

    @property
    def review(self) -> Path:
        """The contact sheets for people, for this machine only."""
        return self.work / "review"

    @property
    def augmented(self) -> Path:
        """The curated version and its augmented rows."""
        return self.data / "augmented"

    # -- models and what is known of them, by family -----------------------------------------------
    def model(self, family: str) -> Path:
        """The trained model of one family."""
        return self.data / "models" / family

    def pretrained(self, family: str) -> Path:
        """The pre-trained model of one family."""
        return self.data / "pretrained" / family

    def finetuned(self, family: str) -> Path:
        """Holds two models: `tuned` (from the pre-trained one) and `scratch` (the same target, from nothing)."""
        return self.data / "finetuned" / family

    def evaluation(self, family: str) -> Path:
        """Metrics and pictures of the trained model."""
        return self.data / "evaluation" / family

    def evaluation_finetune(self, family: str) -> Path:
        """Metrics and pictures of the two small-target models."""
        return self.data / "evaluation_finetune" / family

    @property
    def release(self) -> Path:
        """Which family is released, with its numbers and how it was trained; or why none is."""
        return self.data / "release.json"

    @property
    def final(self) -> Path:
        """The released model, trained once more on all rows but the reference; or a card that says why there is none."""
        return self.data / "final"

    @property
    def ablation(self) -> Path:
        """The data-value study: plan, cells, ledger, pictures."""
        return self.data / "ablation"

    @property
    def report(self) -> Path:
        """The page without addresses or run ids: an out, the same bytes for the same data."""
        return self.data / "report" / "report.html"

    @property
    def linked_report(self) -> Path:
        """The same page with links to this machine's MLflow runs."""
        return self.work / "report" / "report.html"

    # -- not versioned -----------------------------------------------------------------------------
    def run_file(self, stage: str) -> Path:
        """JSON with the id and address of the MLflow run that belongs to `stage` (for example `train@gan`)."""
        return self.work / "runs" / f"{stage}.json"

    @property
    def tracking(self) -> Path:
        """What runs were told and MLflow does not have yet."""
        return self.work / "tracking"
