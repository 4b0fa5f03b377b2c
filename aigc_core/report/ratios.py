"""How a ratio is written: one way for pages, pictures and sentences."""

from __future__ import annotations

#: Ratios nearer to 1 than this are written with a third decimal, so that they do not read as 1.
CLOSE = 1.01
#: Ratios below this are written with two digits that count, so that they do not read as 0.
SMALL = 0.1


def ratio(value: float) -> str:
    """A ratio above 0: `1.36`, `23.1`, `120`, three decimals next to 1, `0.043`."""
    if value < SMALL:
        return f"{value:.2g}"
    if value != 1 and 1 / CLOSE < value < CLOSE:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"
