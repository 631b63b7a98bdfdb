"""Owns what a game is: an attacker who is patient and moves second, and what may be gained."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import honest
from loopback import HONEST, Address
from server import Server


@dataclass(frozen=True)
class Gained:
    """What the attacker got, in the words of the table, and what of it was not to be had."""

    said: str
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """Where a game is played: a server, one account on it that honest callers use meanwhile, and the operator's command line."""

    server: Server
    account: honest.Account
    # Until then the honest callers call, and so long the attacker may take.
    ends: float

    @property
    def addresses(self) -> dict[str, Address]:
        return self.server.addresses

    def import_user(self, name: str, password_hash: str) -> None:
        """Brings a user over from another system, as the operator does."""
        row = {"username": name, "password_hash": password_hash}
        self.server.operate("users", "import", "--format", "ndjson", "-", said=json.dumps(row) + "\n")


@dataclass(frozen=True)
class Game:
    name: str
    # What the table says.
    title: str
    # From where the attacker comes, in the words of the table.
    source: str
    play: Callable[[Field], Gained]
    # More flags of the server.
    options: tuple[str, ...] = ()
    # How long it takes at least, in seconds.
    takes: float = 0.0
    # Where the honest callers come from.
    honest: str = field(default=HONEST)
