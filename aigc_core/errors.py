"""Every error that a user can cause or meet, as one tree.

    AigcError                 anything below; the command line prints its one sentence and exits with `exit_code`
    ├── ConfigError           params.yaml: an unknown key, a value out of range, a name that does not exist
    ├── SourceError           the source: missing, empty, unreadable as a whole, of the wrong kind
    ├── DataError             a dataset version that cannot do what is asked of it: one class, too few rows
    │   ├── TooFewImagesError  too few images to judge memorization by
    │   └── NoStudyError      data on which a study has nothing to measure
    ├── GateError             a quality gate refused the data
    ├── ChangedInputsError    a parameter or a file was changed while the stage that reads it ran
    ├── WorkerError           a process that helped was ended from outside, or memory ran out
    ├── TrainingError         training that cannot go on: a loss that is not finite, a foreign checkpoint
    └── DecodeError           one row's bytes: never leaves ingest or measure, it becomes a verdict

A message is one sentence for the person who can mend it: what happened, the value that caused it, what to do.
"""

from __future__ import annotations


class AigcError(Exception):
    """Base of all errors that aigc raises on purpose."""

    exit_code = 1


class ConfigError(AigcError):
    """A parameter is unknown, of the wrong type, or out of range."""

    exit_code = 2


class SourceError(AigcError):
    """The source as a whole cannot be read."""


class DataError(AigcError):
    """A dataset version does not hold what a stage needs."""


class TooFewImagesError(DataError):
    """There are too few images to judge memorization by: all else can still be measured."""


class NoStudyError(DataError):
    """A study has nothing to measure on this data: all else can be done."""


class GateError(AigcError):
    """The data was read and judged, and the gate's answer is no."""

    exit_code = 3


class ChangedInputsError(AigcError):
    """A parameter or a file was changed while the stage that reads it ran. Its result stays, and DVC does not record it."""


class WorkerError(AigcError):
    """A helping process was ended from outside, or memory ran out. Nothing was replaced."""


class TrainingError(AigcError):
    """Training stopped itself, or cannot start from what it found."""


class DecodeError(AigcError):
    """The bytes of one row are not a readable image. The message says why."""
