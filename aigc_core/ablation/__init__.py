"""What did each data decision buy? Plans, runs and reads a study.

>>> from aigc_core import ablation
>>> plan = ablation.freeze(config)
>>> study = ablation.run(plan)
>>> study.ledger
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aigc_core.ablation.plan import Plan
    from aigc_core.ablation.runner import Watcher
    from aigc_core.ablation.study import Study
    from aigc_core.config import Config
    from aigc_core.evaluation.compare import Yardstick
    from aigc_core.paths import Paths


def freeze(config: Config, paths: Paths | None = None) -> Plan:
    """Freeze what a study of this data would do; nothing is run. Raises ConfigError or DataError.

    Without `paths` it is the checkout that the current folder is in.
    """
    from aigc_core.ablation.plan import resolve
    from aigc_core.paths import Paths

    return resolve(config, paths or Paths.here()).plan


def run(
    plan: Plan,
    paths: Paths | None = None,
    config: Config | None = None,
    watch: Watcher | None = None,
    yardstick: Yardstick | None = None,
) -> Study:
    """Run what is missing of a plan, and return the study.

    Without `paths` it is the checkout that the current folder is in. `config` says on which device and in how many
    processes (the plan's own by default: one per core). Cells that ran before are used again; `yardstick` is that of a
    timed run. Raises DataError where data, code or extractor are not those of the plan, before or after.
    """
    from aigc_core.ablation.cells import to_frame
    from aigc_core.ablation.plan import check_unchanged
    from aigc_core.ablation.runner import run_cells
    from aigc_core.ablation.study import Study
    from aigc_core.paths import Paths

    paths = paths or Paths.here()
    layout = check_unchanged(plan, paths)
    lines = run_cells(layout, paths, config or plan.config, watch, yardstick)
    check_unchanged(plan, paths)  # a study of data that changed under it would mix two
    frame = to_frame(lines)
    seconds = {(line["arm"], line["seed"]): line["seconds"] for line in lines}
    frame["seconds"] = [seconds[key] for key in zip(frame["arm"], frame["seed"], strict=True)]
    return Study(plan.to_dict(), frame)
