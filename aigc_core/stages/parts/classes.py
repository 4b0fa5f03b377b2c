"""Which classes a stage takes."""

from __future__ import annotations

from aigc_core.errors import ConfigError


def chosen_classes(wanted: list[str] | str, known: list[str], section: str, *, first: bool) -> list[str]:
    """`auto` is the first or second half of the known classes. Raises ConfigError for a name that is not known."""
    if isinstance(wanted, str):
        half = len(known) // 2
        return known[:half] if first else known[half:]
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"params.yaml: {section}.classes names {name!r}, the data has {', '.join(known) or 'no labels'}"
            )
    return [name for name in known if name in wanted]
