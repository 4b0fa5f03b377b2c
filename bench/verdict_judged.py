"""What the benches of verdicts share: values of arms to judged effects, and the line that says whether a bar is met.

Legend: k = arms beside the full recipe, n = seeds.
"""

from __future__ import annotations

import numpy as np
from rich.console import Console

from aigc_core.ablation import spread
from aigc_core.ablation import verdicts as v
from aigc_core.ablation.looks import ONCE, Look


def effects_of(values: np.ndarray, decisions: int, smallest: float | None = None, look: Look = ONCE) -> list[v.Effect]:
    """The effects of the first `decisions` arms, judged as a study judges them on fd.

    `values` (1 + k, n) are logarithms of distances, the full recipe first: a gain is an arm's value minus the full recipe's.
    """
    signed = -values
    pool = spread.pool(signed, decisions)
    effects = [v.measure(v.PRIMARY, signed[0], own, 0, decisions, pool, look=look) for own in signed[1 : decisions + 1]]
    return v.judge(effects, smallest, look)


def say(console: Console, met: bool, text: str) -> None:
    """Print whether a bar is met."""
    console.print(f"{'met   ' if met else 'MISSED'} {text}", highlight=False)
