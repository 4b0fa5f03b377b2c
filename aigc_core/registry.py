"""Names to builders: a duplicate is refused when it is registered, an unknown name lists the known ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from aigc_core.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of named things of one kind.

    >>> families: Registry[type] = Registry("model family")
    >>> @families.register("gan")
    ... class Gan: ...
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that enters `name`. Raises ValueError if the name is taken."""

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"the {self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return enter

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            known = ", ".join(sorted(self._entries))
            raise ConfigError(f"unknown {self.kind} {name!r}: choose one of {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
