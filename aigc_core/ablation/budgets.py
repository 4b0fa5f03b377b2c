"""What the proxy budget said, beside what the full budget says of the same decision."""

from __future__ import annotations

from dataclasses import dataclass

from aigc_core.ablation.statistics import Estimate, difference


@dataclass(frozen=True)
class Confirmation:
    """Gains on fd (log ratios) of one decision at both budgets; see `compare`."""

    decision: str
    proxy_steps: int
    full_steps: int
    proxy: Estimate
    full: Estimate
    difference: Estimate  # full minus proxy

    @property
    def differs(self) -> bool:
        """Whether the two differ by more than their intervals allow."""
        return self.difference.excludes_zero()

    @property
    def keeps_sign(self) -> bool:
        """Whether both budgets have the decision on the same side."""
        return self.proxy.mean * self.full.mean > 0


def compare(decision: str, steps: tuple[int, int], proxy: Estimate, full: Estimate) -> Confirmation:
    """The gain at the proxy budget against that at the full one; `steps` are of both.

    Their errors are taken as independent. Both budgets share seeds and rows, and the longer training goes on from the shorter one:
    what they have in common makes the difference look less sure than it is. The spread of the full budget is the larger of
    its own pairs' and of that which the arms at the proxy budget share.
    """
    return Confirmation(decision, *steps, proxy, full, difference(proxy, full))
