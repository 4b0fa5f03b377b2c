"""A DVC project as assets of Dagster."""

from pipelines.component import DvcProjectComponent

__all__ = ["DvcProjectComponent"]
