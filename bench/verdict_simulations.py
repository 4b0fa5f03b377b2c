"""Do the verdicts keep their promises? Simulated cells with known truth, put through the product's own statistics.

    python bench/verdict_simulations.py pooling            # false verdicts per study and power, by rule for the spread
    python bench/verdict_simulations.py power              # is "would have been seen four times out of five" true?
    python bench/verdict_simulations.py gates              # how many healthy studies are void, how many are blind
    python bench/verdict_simulations.py words              # how often each word is said of effects of known size
    python bench/verdict_simulations.py looks              # declared looks: false verdicts, seeds used, power
    python bench/verdict_simulations.py variations         # how often a kept sign is claimed of decisions that do not keep it; --few 2: with two seeds of each variation
    python bench/verdict_simulations.py sets --path ../shared/data   # fresh pools of MNIST: these rows, rows like these

Legend: R = studies, k = arms beside the full recipe, n = seeds, m = decisions. Errors of cells have a standard deviation of 1,
so that a paired difference has sqrt(2) = one `sd` in the tables.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import special, stats
from verdict_judged import effects_of, say
from verdict_looks import looks
from verdict_pools import sets
from verdict_variations import FEW, variations

from aigc_core.ablation import gates as gate
from aigc_core.ablation import spread
from aigc_core.ablation import statistics as s
from aigc_core.ablation import verdicts as v

CONSOLE = Console(width=150)
Array = np.ndarray
#: What may be false in all, and how many studies may be void.
FALSE_BAR, VOID_BAR = 0.06, 0.02
SD = math.sqrt(2)
#: Decisions with the arms that a study of them has: their own, random controls of some, placebo, planted damage.
STUDIES = ((1, 4), (2, 5), (6, 11))
SEEDS = (3, 4, 5, 10)
KINDS = ("normal", "t3", "lognormal", "one arm x 3", "spreads differ", "full x 3")


def main() -> None:
    """Parse and run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["pooling", "power", "gates", "words", "looks", "variations", "sets"]
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies for each line")
    parser.add_argument("--few", type=int, default=FEW, help="variations: seeds of each variation")
    parser.add_argument("--pools", type=int, default=200, help="sets: fresh pools")
    parser.add_argument("--path", type=Path, default=Path("../shared/data"), help="sets: the folder with mnist/*.gz")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.few < 1:
        parser.error(f"--few: a variation needs at least 1 seed, not {chosen.few}")
    known: dict[str, Callable[[], None]] = {
        "pooling": lambda: pooling(chosen.studies, chosen.seed),
        "power": lambda: power(chosen.studies, chosen.seed),
        "gates": lambda: gates(max(300, chosen.studies // 5), chosen.seed),
        "words": lambda: words(chosen.studies, chosen.seed),
        "looks": lambda: looks(chosen.studies, chosen.seed, errors, KINDS, STUDIES, CONSOLE),
        "variations": lambda: variations(chosen.studies, chosen.seed, chosen.few, CONSOLE),
        "sets": lambda: sets(chosen.path, chosen.pools, chosen.seed, CONSOLE),
    }
    for part in chosen.parts:
        known[part]()


def errors(kind: str, studies: int, arms: int, seeds: int, seed: int) -> Array:
    """Values (R, 1 + k, n) of cells without any effect, the full recipe first; seeds have their own effect on all arms."""
    chance = np.random.default_rng([seed, seeds, arms, KINDS.index(kind)])
    shape = (studies, arms + 1, seeds)
    found = chance.standard_normal(shape)
    if kind == "t3":
        found = chance.standard_t(3, shape) / math.sqrt(3)
    elif kind == "lognormal":
        found = (np.exp(0.8 * found) - math.exp(0.32)) / math.sqrt(math.exp(0.64) * (math.exp(0.64) - 1))
    elif kind == "one arm x 3":
        found[:, 1] *= 3
    elif kind == "full x 3":
        found[:, 0] *= 3
    elif kind == "spreads differ":
        found *= np.exp(0.35 * chance.standard_normal((studies, arms + 1, 1)))
    return np.asarray(found + chance.standard_normal((studies, 1, seeds)))


# -- rules for the spread --------------------------------------------------------------------------------------------


def alone(values: Array, _: int) -> tuple[Array, Array]:
    """Spreads and degrees of freedom of every arm's own differences, as before arms shared theirs."""
    own = (values[1:] - values[0]).std(1, ddof=1)
    return own, np.full(len(own), values.shape[1] - 1.0)


def shared(values: Array, decisions: int) -> tuple[Array, Array]:
    """The product's rule."""
    pool = spread.pool(values, decisions)
    found = [pool.interval(own) for own in (values[1:] - values[0])[:decisions]]
    return np.array([one.spread for one in found]), np.array([one.freedom for one in found])


def residual(values: Array, _: int) -> tuple[Array, Array]:
    """The residual of arms and seeds for all, without a guard."""
    k, n = len(values) - 1, values.shape[1]
    found = math.sqrt(2 * spread._residual(values))
    return np.full(k, found), np.full(k, k * (n - 1.0))


def prior(values: Array, _: int) -> tuple[Array, Array]:
    """A prior fitted to the arms' variances (Smyth 2004, squeezeVar), without a guard."""
    variances, free = (values[1:] - values[0]).var(1, ddof=1), values.shape[1] - 1.0
    e = np.log(variances) - special.digamma(free / 2) + math.log(free / 2)
    excess = float(e.var(ddof=1)) - float(special.polygamma(1, free / 2))
    if excess <= 0:
        return np.full(len(e), math.sqrt(variances.mean())), np.full(len(e), free * len(e))
    half = _trigamma_inverse(excess)
    centre = math.exp(e.mean() + special.digamma(half) - math.log(half))
    found = (2 * half * centre + free * variances) / (2 * half + free)
    return np.sqrt(found), np.full(len(e), min(2 * half + free, free * len(e)))


def _trigamma_inverse(value: float) -> float:
    found = 0.5 + 1 / value
    for _ in range(30):
        now = float(special.polygamma(1, found))
        found += now * (1 - now / value) / float(special.polygamma(2, found))
    return found


RULES = {"own spread": alone, "prior (Smyth)": prior, "residual": residual, "shared, guarded": shared}


def _p(values: Array, decisions: int, rule: Callable[[Array, int], tuple[Array, Array]], effect: float) -> Array:
    """p (m,) of the first m arms of one study, whose gains are `effect` larger than they are."""
    found, free = (part[:decisions] for part in rule(values, decisions))
    means = (values[1 : decisions + 1] - values[0]).mean(1) + effect
    return np.asarray(2 * special.stdtr(free, -np.abs(means) / found * math.sqrt(values.shape[1])))


def pooling(studies: int, seed: int) -> None:
    """False verdicts per study on the distance, and power, for every rule."""
    missed = []
    for decisions, arms in STUDIES:
        table = Table(title=f"{decisions} decisions, {arms} arms beside the full recipe, {studies} studies each")
        for name in ("seeds", "rule", *KINDS, "power at 1.5 sd", "2 sd", "2.5 sd"):
            table.add_column(name, justify="left" if name == "rule" else "right")
        for n in SEEDS:
            for name, rule in RULES.items():
                wrong = {kind: _false(errors(kind, studies, arms, n, seed), decisions, rule) for kind in KINDS}
                plain = errors("normal", studies // 4, arms, n, seed + 1)
                seen = [np.mean([_p(one, decisions, rule, x * SD) * decisions < s.ALPHA for one in plain]) for x in (1.5, 2, 2.5)]  # fmt: skip
                table.add_row(str(n), name, *(f"{rate:.3f}" for rate in wrong.values()), *(f"{one:.2f}" for one in seen))  # fmt: skip
                if rule is shared:
                    error = 2 * math.sqrt(FALSE_BAR * (1 - FALSE_BAR) / studies)
                    missed += [f"{decisions}/{n}/{kind} {rate:.3f}" for kind, rate in wrong.items() if rate > FALSE_BAR + error]  # fmt: skip
            table.add_section()
        CONSOLE.print(table)
    say(CONSOLE, not [one for one in missed if "full" not in one], f"false verdicts per study at most {FALSE_BAR:.0%}, within chance; above: {', '.join(missed) or 'none'}")  # fmt: skip


def _false(values: Array, decisions: int, rule: Callable[[Array, int], tuple[Array, Array]]) -> float:
    return float(np.mean([min(s.holm(list(_p(one, decisions, rule, 0.0)))) < s.ALPHA for one in values]))


# -- what would have been seen ---------------------------------------------------------------------------------------


def power(studies: int, seed: int) -> None:
    """The effect that each study says it would have seen, planted into another study of the same kind."""
    table = Table(title=f'"would have been seen four times out of five", {studies} studies each')
    for name in ("decisions", "seeds", "told, in sd (10 to 90 %)", "seen in a second study", "studies whose power is at least .8"):  # fmt: skip
        table.add_column(name, justify="right")
    bad = []
    for decisions, arms in STUDIES:
        for n in SEEDS:
            first = errors("normal", studies, arms, n, seed)
            second = errors("normal", studies, arms, n, seed + 7)
            told = np.array([_visible(one, decisions) for one in first])
            seen = float(np.mean([_p(two, decisions, shared, x)[0] * decisions < s.ALPHA for two, x in zip(second, told, strict=True)]))  # fmt: skip
            least = _needed(second, decisions)
            low, high = np.quantile(told / SD, [0.1, 0.9])
            table.add_row(str(decisions), str(n), f"{told.mean() / SD:.2f} ({low:.2f} to {high:.2f})", f"{seen:.2f}", f"{(told >= least).mean():.2f}")  # fmt: skip
            bad += [] if 0.75 <= seen <= 0.85 else [f"{decisions}/{n} {seen:.2f}"]
    CONSOLE.print(table)
    say(CONSOLE, not bad, f"seen in 75 to 85 %; outside: {', '.join(bad) or 'none'}")


def _visible(values: Array, decisions: int) -> float:
    pool = spread.pool(values, decisions)
    return v.measure("fd", values[1], values[0], 0, decisions, pool).visible


def _needed(values: Array, decisions: int) -> float:
    """The effect whose power is really .8 in these studies."""
    low, high = 0.0, 12.0
    while high - low > 0.02:
        middle = (low + high) / 2
        seen = np.mean([_p(one, decisions, shared, middle)[0] * decisions < s.ALPHA for one in values[:1000]])
        low, high = (middle, high) if seen < s.POWER else (low, middle)
    return high


# -- gates -----------------------------------------------------------------------------------------------------------


def gates(studies: int, seed: int) -> None:
    """Void and blind studies under a healthy pipeline: a placebo that does nothing, blanks that cost a little."""
    table = Table(
        title=f"{studies} healthy studies each; smallest effect 10 %, sd of a paired log ratio .05, .1, .2 or .4"
    )
    for name in ("seeds", "sd", "planted blanks cost", "void", "planted not seen", "void, if A/A and control decided as before"):  # fmt: skip
        table.add_column(name, justify="right")
    smallest, worst = math.log1p(0.1), 0.0
    for n in (3, 5, 10):
        for size in (0.05, 0.1, 0.2, 0.4):
            for cost in (1.15, 1.5):
                values = errors("normal", studies, 4, n, seed) * size / SD
                values[:, 4] += math.log(cost)
                found = [_gates(one, smallest) for one in values]
                void = float(np.mean([any(one.void for one in both) for both in found]))
                blind = float(np.mean([both[1].state != gate.SEEN for both in found]))
                before = float(np.mean([_void_before(one) for one in values]))
                worst = max(worst, void)
                table.add_row(str(n), f"{size:g}", f"{cost:g} times", f"{void:.3f}", f"{blind:.3f}", f"{before:.3f}")
    CONSOLE.print(table)
    say(CONSOLE, worst <= VOID_BAR, f"healthy studies that are void: at most {worst:.3f}, bar {VOID_BAR:g}")


def _gates(values: Array, smallest: float) -> tuple[gate.Control, gate.Control]:
    pool, gains = spread.pool(values, 1), values[1:] - values[0]
    return gate.placebo_quiet(gains[2], pool, smallest), gate.control_seen(gains[3], pool, "2 % blank images")


def _void_before(values: Array) -> bool:
    """The former gates: an A/A difference at 99 %, and damage above 0 at 99 % from its own pairs."""
    null = stats.ttest_ind(values[3], values[0], equal_var=False).confidence_interval(0.99)
    return not null.low <= 0 <= null.high or not s.mean_interval(values[4] - values[0], 0.99).low > 0


# -- words -----------------------------------------------------------------------------------------------------------


def words(studies: int, seed: int) -> None:
    """What is said of one of three decisions whose true ratio is known; the smallest that matters is 10 %."""
    table = Table(title=f"words for a decision of known effect, 3 decisions, sd of a paired log ratio .1, {studies} studies each")  # fmt: skip
    said = (v.PAYS, v.HURTS, v.EQUIVALENT, v.NO_EFFECT)
    for name in ("true ratio", "seeds", *said):
        table.add_column(name, justify="right")
    wrong = 0.0
    for ratio in (1.0, 1.05, 1.1, 1.2, 1.5):
        for n in (3, 5, 10, 20):
            values = errors("normal", studies, 7, n, seed) * 0.1 / SD
            values[:, 1] += math.log(ratio)
            found = [_word(one) for one in values]
            shares = {word: found.count(word) / studies for word in said}
            wrong = max(wrong, shares[v.EQUIVALENT] if ratio >= 1.1 else 0.0)
            table.add_row(f"{ratio:g}", str(n), *(f"{shares[word]:.3f}" for word in said))
        table.add_section()
    CONSOLE.print(table)
    say(CONSOLE, wrong <= s.ALPHA, f"`equivalent` of an effect that matters: at most {wrong:.3f}, bar {s.ALPHA:g}")


def _word(values: Array) -> str:
    return effects_of(values, 3, math.log1p(0.1))[0].verdict


if __name__ == "__main__":
    main()
