"""Owns the list of attacks, a family each module. To add one: describe what its strangers do, and put it on its family's list."""

from . import connections, control, parsing, places, readers, saturating, surroundings, work
from .attack import Attack

# First what honest callers see while nothing happens, to compare.
ALL: tuple[Attack, ...] = (
    Attack("nothing", "Nothing, for comparison"),
    *places.ATTACKS,
    *readers.ATTACKS,
    *connections.ATTACKS,
    *control.ATTACKS,
    *parsing.ATTACKS,
    *saturating.ATTACKS,
    *work.ATTACKS,
    *surroundings.ATTACKS,
)

__all__ = ["ALL", "Attack"]
