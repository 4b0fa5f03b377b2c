"""Are the verdicts true? False verdicts, coverage of the intervals, planted damage in order, a closed loop, a curve.

What follows from the numbers alone (the shared spread, power, gates, words, rows like these) is in bench/verdict_simulations.py.

    python bench/verdicts.py [null] [planted] [loop] [curve] [--comparisons 200] [--seeds 5] [--oracle 20]
    python bench/verdicts.py loop curve --data mnist --path ../shared/data [--rows 4000]

Cells are those of bench/verdict_cells.py: milliseconds each on digits, so that thousands can be run. Every judgement goes
through aigc_core.ablation.study.Study, as `aigc ablate` does it.
"""

from __future__ import annotations

import argparse
import itertools
import math
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats
from verdict_cells import Bench, Rows, blanks, curated, damages, digits, mnist, prepare, to_frame, without_some
from verdict_judged import say

from aigc_core.ablation import cells as c
from aigc_core.ablation import statistics as s
from aigc_core.ablation import verdicts as v
from aigc_core.ablation import words as w
from aigc_core.ablation.gates import SEEN
from aigc_core.ablation.study import Study

METRICS = ("fd", "coverage", "cas", "agreement")
#: Decisions of the family whose false verdicts Holm has to hold down together.
FAMILY = 6
#: Tests of rates and coverage reject below this.
BINOMIAL_ALPHA = 0.01
#: Bars of the planted interventions and of the closed loop.
ORDER_BAR, TAU_BAR, RECOVERY_BAR = 0.9, 0.8, 0.8
#: What the closed loop plants, as shares of the training rows.
DIRT = {
    "digits": {"blank": 0.08, "duplicate_exact": 0.15, "too_small": 0.06, "corrupt": 0.03},
    "mnist": {"blank": 0.08, "copy": 0.15, "too_small": 0.06, "flip": 0.05},
}
#: The smallest relative change that matters, and the share of rows that is planted blank.
SMALLEST, PLANTED = 0.1, 0.02
#: Shares of the rows behind a scaling curve.
SIZES = (0.1, 0.18, 0.32, 0.56, 1.0)
CONSOLE = Console(width=140)


def main() -> None:
    """Parse, prepare the data once, run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["null", "planted", "loop"], help="null, planted, loop, curve")
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits", help="mnist: loop and curve only")
    parser.add_argument("--path", type=Path, default=Path("../shared/data"), help="the folder with mnist/*.gz")
    parser.add_argument("--rows", type=int, default=4000, help="images of MNIST that are used")
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--oracle", type=int, default=20)
    chosen = parser.parse_args()
    if chosen.data != "digits" and {"null", "planted"} & set(chosen.parts):
        parser.error("null and planted damage digits: ask for loop or curve with --data mnist")
    source = digits if chosen.data == "digits" else mnist(chosen.path, chosen.rows)
    with tempfile.TemporaryDirectory() as folder:
        bench = prepare(Path(folder) / "clean", source)
        if "null" in chosen.parts:
            null(bench, chosen.comparisons, chosen.seeds)
        if "planted" in chosen.parts:
            planted(bench, Path(folder), chosen.seeds, chosen.oracle)
        if "loop" in chosen.parts:
            loop(bench, Path(folder), chosen.oracle, DIRT[chosen.data])
        if "curve" in chosen.parts:
            curve(bench, Path(folder), chosen.oracle, DIRT[chosen.data])


# -- false verdicts and coverage -------------------------------------------------------------------------------------


def null(bench: Bench, comparisons: int, seeds: int) -> None:
    """A/A studies: every arm is the same recipe on seeds of its own, but for one that has half the rows.

    With common seeds an A/A comparison is zero by construction; here the arms are paired by name only.
    """
    dirty = blanks(bench.clean, PLANTED, np.random.default_rng(1))
    half = bench.clean.take(np.arange(0, len(bench.clean.labels), 2))
    studies, pairs = [], []
    for index in track(range(comparisons), "A/A studies", console=CONSOLE):
        studies.append(_null_study(bench, dirty, half, index, seeds))
        pairs.append(studies[-1].pairs.gains("without_half"))
    _print_false(studies)
    _print_coverage(studies, float(np.mean(np.concatenate(pairs))))


def _null_study(bench: Bench, dirty: Rows, half: Rows, index: int, seeds: int) -> Study:
    """One study with FAMILY decisions that do nothing and one that halves the rows; no seed is used twice in the bench."""
    first, lines = index * 1000, []
    fewer = without_some(bench.clean, index)
    for seed in range(first, first + seeds):
        lines.append(bench.cell("full", c.BASELINE, bench.clean, seed))
        lines.append(bench.cell("blanks_2", c.POSITIVE_CONTROL, dirty, seed))
        lines.append(bench.cell("without_half", c.TREATMENT, half, seed, decision="half"))
        lines.append(bench.cell("placebo", c.PLACEBO, fewer, seed))
        for number in range(FAMILY):
            own, name = seed + 200 + 100 * number, f"nothing_{number}"
            lines.append(bench.cell(f"without_{name}", c.TREATMENT, bench.clean, own, decision=name, as_seed=seed))
    plan = {"smallest_effect": SMALLEST, "test_rows": len(bench.yardstick.test_labels), "decisions": [f"nothing_{number}" for number in range(FAMILY)]}  # fmt: skip
    return Study(plan, to_frame([{**line, "error": None} for line in lines]))


def _alone(study: Study, metric: str) -> v.Effect:
    """The first decision as if it had been the only one that was asked about."""
    return v.judge([study.effects["nothing_0", metric]])[0]


def _print_false(studies: list[Study]) -> None:
    table = Table(title=f"{len(studies)} A/A studies, {len(studies[0].plan['decisions'])} decisions that do nothing")
    for name in ("metric", "false verdicts, one decision", "p of 5 %", "studies with any, six decisions", "p of at most 5 %"):  # fmt: skip
        table.add_column(name, justify="left" if name == "metric" else "right")
    claims = (v.PAYS, v.HURTS, v.COPYING)
    failed = []
    for metric in METRICS:
        alone = sum(_alone(study, metric).verdict in claims for study in studies)
        any_ = 0
        for study in studies:
            judged = v.judge([study.effects[f"nothing_{number}", metric] for number in range(FAMILY)])
            any_ += any(one.verdict in claims for one in judged)
        one = stats.binomtest(alone, len(studies), s.ALPHA).pvalue
        family = stats.binomtest(any_, len(studies), s.ALPHA, alternative="greater").pvalue
        table.add_row(
            metric, f"{alone / len(studies):.3f}", f"{one:.3f}", f"{any_ / len(studies):.3f}", f"{family:.3f}"
        )
        failed += [metric] if min(one, family) < BINOMIAL_ALPHA else []
    CONSOLE.print(table)
    say(
        CONSOLE,
        not failed,
        f"rates of false verdicts are compatible with 5 %{': not of ' + ', '.join(failed) if failed else ''}",
    )
    void = sum(bool(study.void) for study in studies)
    blind = sum(study.gates[1].state != SEEN for study in studies)
    CONSOLE.print(f"void: {void} of {len(studies)}; planted blanks not seen in {blind}")


def _print_coverage(studies: list[Study], truth: float) -> None:
    """Coverage of zero by the A/A intervals, and of the effect of half the rows by its own."""
    n = len(studies)
    zero = sum(not _alone(study, "fd").gain.excludes_zero() for study in studies)
    gains = [study.effects["half", "fd"].gain for study in studies]
    effect = sum(gain.low <= truth <= gain.high for gain in gains)
    table = Table(title="coverage of the 95 % intervals on fd")
    for name in ("truth", "covered", "p of 95 %"):
        table.add_column(name, justify="right")
    rejected = []
    for name, hits in (
        ("0 (A/A)", zero),
        (f"a ratio of {math.exp(truth):.3f} (half the rows, mean of {n} studies)", effect),
    ):
        p = stats.binomtest(hits, n, s.LEVEL).pvalue
        table.add_row(name, f"{hits / n:.3f}", f"{p:.3f}")
        rejected.append(p < BINOMIAL_ALPHA)
    CONSOLE.print(table)
    say(CONSOLE, not any(rejected), "coverage is compatible with 95 %")


# -- planted interventions -------------------------------------------------------------------------------------------


def planted(bench: Bench, folder: Path, seeds: int, oracle: int) -> None:
    """Interventions of known sign, ranked from a few seeds and from many."""
    arms = {
        name: (bench.clean, rows, -1) for name, rows in damages(bench.clean, len(bench.yardstick.real.classes)).items()
    }
    repairs = {"blank": {"blank": 0.10}, "duplicate": {"duplicate_exact": 0.5}, "small": {"too_small": 0.10}}
    for name, plant in repairs.items():
        before, after = curated(bench, folder / f"repair_{name}", **plant)
        arms[f"repair_{name}"] = (before, after, 1)
    few = _effects(bench, arms, range(seeds), "screening")
    many = _effects(bench, arms, range(5000, 5000 + oracle), "oracle")
    _print_planted(arms, few, many)
    _print_order(list(arms), few, many)


def _effects(bench: Bench, arms: dict[str, tuple[Rows, Rows, int]], seeds: range, label: str) -> dict[str, np.ndarray]:
    """Gain in fd, as the logarithm of a ratio, of every intervention over its base, by seed."""
    found = {}
    for name, (base, rows, _) in track(arms.items(), label, console=CONSOLE):
        pairs = [(bench.figures(base, seed)["fd"], bench.figures(rows, seed)["fd"]) for seed in seeds]
        found[name] = np.array([math.log(before / after) for before, after in pairs])
    return found


def _print_planted(
    arms: dict[str, tuple[Rows, Rows, int]], few: dict[str, np.ndarray], many: dict[str, np.ndarray]
) -> None:
    effects = [v.measure("fd", few[name], np.zeros(len(few[name])), 0, len(arms)) for name in arms]
    judged = dict(zip(arms, v.judge(effects), strict=True))
    table = Table(title="planted interventions: fd without over fd with, above 1 is better")
    for name in ("intervention", "known", "few seeds", "verdict", "oracle", "oracle sees it"):
        table.add_column(name, justify="left" if name in ("intervention", "verdict") else "right")
    wrong, against = [], []
    for name, (_, _, sign) in arms.items():
        truth = s.mean_interval(many[name])
        against += [name] if truth.excludes_zero() and truth.mean * sign < 0 else []
        table.add_row(name, "better" if sign > 0 else "worse", w.figure(few[name].mean(), "fd"), judged[name].verdict,
                      w.brief(truth, "fd"), "yes" if truth.excludes_zero() else "no")  # fmt: skip
        claimed = {v.PAYS: 1, v.HURTS: -1}.get(judged[name].verdict, 0)
        wrong += [name] * (claimed == -sign)
    CONSOLE.print(table)
    if against:
        CONSOLE.print(
            f"fd of {len(next(iter(many.values())))} seeds itself contradicts the known sign of: {', '.join(against)}"
        )
    say(CONSOLE, not wrong, f"no verdict has the wrong sign{': ' + ', '.join(wrong) if wrong else ''}")


def _print_order(names: list[str], few: dict[str, np.ndarray], many: dict[str, np.ndarray]) -> None:
    """Pairs whose order the oracle knows, and whether the few seeds have it too."""
    right, counted, open_ = 0, 0, []
    for one, two in itertools.combinations(names, 2):
        if not s.mean_interval(many[one] - many[two]).excludes_zero():
            open_.append(f"{one}/{two}")
            continue
        counted += 1
        right += (few[one].mean() - few[two].mean()) * (many[one].mean() - many[two].mean()) > 0
    tau = float(stats.kendalltau([few[name].mean() for name in names], [many[name].mean() for name in names]).statistic)
    CONSOLE.print(f"not separated by the oracle, not counted: {', '.join(open_) or 'none'}")
    say(
        CONSOLE,
        right >= ORDER_BAR * counted,
        f"order of {counted} pairs: {right / max(counted, 1):.3f} right, at least {ORDER_BAR}",
    )
    say(CONSOLE, tau >= TAU_BAR, f"Kendall tau over all {len(names)}: {tau:.3f}, at least {TAU_BAR}")


# -- closed loop -----------------------------------------------------------------------------------------------------


def loop(bench: Bench, folder: Path, seeds: int, dirt: dict[str, float]) -> None:
    """Dirty data through our own curate: how much of the way back to clean quality?"""
    before, after = curated(bench, folder / "loop", **dirt)
    arms = {"clean": bench.clean, "dirty": before, "curated": after}
    fd = {
        name: np.array([bench.distance(rows, seed) for seed in track(range(seeds), name, console=CONSOLE)])
        for name, rows in arms.items()
    }
    lost, won = fd["dirty"] - fd["clean"], fd["dirty"] - fd["curated"]
    share, low, high = ratio_interval(won, lost)
    floor = bench.yardstick.floor.fd
    words = ", ".join(f"{k} {values.mean() / floor:.2f} ({len(arms[k].labels)} rows)" for k, values in fd.items())
    CONSOLE.print(f"closed loop, {seeds} seeds, fd in floors: {words}")
    say(
        CONSOLE,
        share >= RECOVERY_BAR and low > 0,
        f"recovered {share:.2f} ({low:.2f} to {high:.2f}) of what the dirt cost, at least {RECOVERY_BAR}",
    )


def ratio_interval(top: np.ndarray, bottom: np.ndarray) -> tuple[float, float, float]:
    """Ratio of two paired means with a t interval by the jackknife over pairs."""
    n, whole = len(top), float(top.mean() / bottom.mean())
    left = (top.sum() - top) / (bottom.sum() - bottom)
    error = math.sqrt((n - 1) / n * float(np.square(left - left.mean()).sum()))
    reach = s.t_quantile(n - 1, (1 + s.LEVEL) / 2) * error
    return whole, whole - reach, whole + reach


# -- scaling curve ---------------------------------------------------------------------------------------------------


def curve(bench: Bench, folder: Path, seeds: int, dirt: dict[str, float]) -> None:
    """A study of curation on dirty rows with five sizes: what its headline says, and what curation is worth in images."""
    before, after = curated(bench, folder / "curve", **dirt)
    planted_, fewer = blanks(after, PLANTED, np.random.default_rng(1)), without_some(after, 0)
    order, lines = np.random.default_rng(4).permutation(len(after.labels)), []
    for seed in track(range(seeds), "seeds of the curve", console=CONSOLE):
        lines.append(bench.cell("full", c.BASELINE, after, seed))
        lines.append(bench.cell("placebo", c.PLACEBO, fewer, seed))
        lines.append(bench.cell("blanks_2", c.POSITIVE_CONTROL, planted_, seed))
        lines.append(bench.cell("without_curate", c.TREATMENT, before, seed, decision="curate"))
        for share in SIZES[:-1]:
            part = after.take(np.sort(order[: round(share * len(order))]))
            lines.append(bench.cell(f"size_{share:g}", c.SIZE, part, seed, share=share))
    plan = {"smallest_effect": SMALLEST, "decisions": ["curate"]}
    study = Study(plan, to_frame([{**line, "error": None} for line in lines]))
    means = study.curve_points.groupby("rows")["fd"].mean()
    CONSOLE.print(
        f"curve, {seeds} seeds, fd in floors by rows: {', '.join(f'{n} {fd:.2f}' for n, fd in means.items())}"
    )
    CONSOLE.print(study.headline.sentence, highlight=False)
    for sentence in (*study.headline.evidence, *study.ledger["worth"].loc[lambda words: words != ""]):
        CONSOLE.print(f"  {sentence}", highlight=False)


if __name__ == "__main__":
    main()
