"""Owns what an attack is: a name, what strangers do, and the surroundings of the server that it needs."""

from dataclasses import dataclass
from typing import Protocol

from strangers import Strangers


class Prepare(Protocol):
    """Makes strangers who have an account of their own, with this token."""

    def __call__(self, token: str) -> tuple[Strangers, ...]: ...


@dataclass(frozen=True)
class Attack:
    name: str
    # What the table says.
    title: str
    strangers: tuple[Strangers, ...] = ()
    # In place of `strangers`, if they are users.
    as_user: Prepare | None = None
    # Whether it is also tried from 200 addresses.
    also_from_many: bool = False
    # More flags of the server.
    options: tuple[str, ...] = ()
    # How many files the server may open; none: as many as the system lets it.
    open_files: int | None = None
    # Whether somebody reads the server's standard error.
    reads_log: bool = True
    # Whether the server keeps its data in PostgreSQL, that many milliseconds away, instead of SQLite.
    database_ms: float | None = None
    # Whether the server speaks TLS.
    tls: bool = False
