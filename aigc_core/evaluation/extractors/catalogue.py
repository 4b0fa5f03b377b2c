"""All instruments, registered: import `instruments` from here."""

from aigc_core.evaluation.extractors import dinov2, frozen, inception
from aigc_core.evaluation.extractors.base import Entry, Instrument, Place, instruments

__all__ = ["Entry", "Instrument", "Place", "dinov2", "frozen", "inception", "instruments"]
