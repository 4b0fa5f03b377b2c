"""Class names that a person would hardly tell apart: they are classes of their own, and that is said."""

from __future__ import annotations

from collections.abc import Iterable

from aigc_core.data.sources.tally import Tally


def tell_alike(labels: Iterable[str], tally: Tally) -> None:
    """Count names with blanks around them, and names that differ in case or blanks alone."""
    alike: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        alike.setdefault(" ".join(label.casefold().split()), []).append(label)
        if label != label.strip():
            tally.add("padded_names", repr(label))
    for same in alike.values():
        if len(same) > 1:
            tally.add("names_alike", " and ".join(repr(label) for label in same), len(same))
