"""Owns one trial: a fresh server, a flood or a game, and honest callers beside it."""

import itertools
import multiprocessing
import os
import subprocess
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import honest
from attacks import Attack
from distance import Distance
from games import Field, Gained, Game
from loopback import HONEST, Address
from server import BUDGET_MIB, PATIENCE, STOPS_WITHIN, Server, scratch
from strangers import Cost, Flood, Strangers

# How long a flood may take to have all its connections, before honest callers begin.
_SETTLES_WITHIN = 5.0

# Beyond this nothing more is learnt, and the machine is somebody's.
_STOP_MIB = 2_048

# A gigabyte in half a day.
_LOG_BYTES_PER_SECOND = 20_000

# What docs/AUDIT.md says of a minute.
_AUDIT_LINES = 6_000

# An attack that comes to less of the rate that its title declares shows nothing.
_LEAST_OF_RATE = 0.5

# The flood's machine is not the server's in earnest.
_NICENESS = 10

_fork = multiprocessing.get_context("fork")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Paid:
    """What a flood cost the attacker."""

    # Each second, from the flood's beginning.
    sent_bytes: float
    # Connections that replaced others, each second.
    opened_anew: float
    held: int
    # What part of the declared rate was said; none if no rate is declared.
    of_rate: float | None


@dataclass(frozen=True)
class Outcome:
    """What one trial showed."""

    attack: Attack | Game
    many: bool
    seconds: float
    seen: dict[str, honest.Seen]
    # What it cost, or what was gained by it.
    paid: Paid | Gained
    memory_mib: float
    cpu_seconds: float
    log_bytes: int
    audit_lines: int
    # How long it took to stop; none: it did not.
    stopped_after: float | None
    died: bool

    def misses(self) -> list[str]:
        """What was promised and did not hold."""
        missed = list(self.paid.missed) if isinstance(self.paid, Gained) else []
        if isinstance(self.paid, Paid) and self.paid.of_rate is not None and self.paid.of_rate < _LEAST_OF_RATE:
            missed.append(f"the attack came to {self.paid.of_rate:.0%} of its rate, so nothing was shown")
        if self.died:
            missed.append("the server ended")
        for kind in honest.KINDS:
            seen = self.seen[kind.name]
            if (kind.is_reserved or not self.many) and not seen.holds():
                missed.append(
                    f"{kind.name} {seen.in_time} of {seen.calls} within {kind.limit:.0f} s"
                    f" ({seen.refused} refused, {seen.late} late, {seen.cut} cut)"
                )
        if self.memory_mib > BUDGET_MIB:
            missed.append(f"memory {self.memory_mib:.0f} MiB of {BUDGET_MIB}")
        if self.log_bytes > _LOG_BYTES_PER_SECOND * self.seconds:
            missed.append(f"the log grew by {self.log_bytes / self.seconds / 1_000:.0f} KB/s")
        if self.audit_lines > _AUDIT_LINES * max(1.0, self.seconds / 60):
            missed.append(f"the audit log grew by {self.audit_lines} lines")
        if not self.died and (self.stopped_after is None or self.stopped_after > STOPS_WITHIN):
            took = "did not stop" if self.stopped_after is None else f"stopped after {self.stopped_after:.1f} s"
            missed.append(f"{took} of {STOPS_WITHIN:.0f}")
        return missed


def run(attack: Attack | Game, many: bool, program: Path, seconds: float, database: Address | None) -> Outcome:
    if isinstance(attack, Game):
        return _run_game(attack, program, seconds)
    with scratch() as directory:
        options = attack.options + (_certificate(Path(directory)) if attack.tls else ())
        far = None
        if attack.database_ms is not None:
            assert database, "the database that this attack needs"
            far = Distance(database, attack.database_ms)
        server = None
        try:
            server = Server(program, Path(directory), options, attack.open_files, attack.reads_log, far.address if far else None)
            return _measure(attack, many, server, seconds)
        finally:
            if server:
                server.kill()
            if far:
                far.close()


def _run_game(game: Game, program: Path, seconds: float) -> Outcome:
    with scratch() as directory:
        server = Server(program, Path(directory), game.options)
        try:
            return _measure_game(game, server, max(seconds, game.takes))
        finally:
            server.kill()


def _certificate(directory: Path) -> tuple[str, ...]:
    """Makes one for 127.0.0.1, and the flags that name it."""
    cert, key = str(directory / "tls.crt"), str(directory / "tls.key")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=PATIENCE)
    return "--tls-cert", cert, "--tls-key", key


def _measure(attack: Attack, many: bool, server: Server, seconds: float) -> Outcome:
    tls = frozenset(server.addresses if attack.tls else ())
    account = _open_account(server, "honest", tls)
    strangers = attack.strangers
    if attack.as_user:
        strangers = attack.as_user(_open_account(server, "hostile", tls).token)
    cost = Cost(*(_fork.Value("q", 0) for _ in range(4)))
    flood = _fork.Process(target=_flood, args=(server.addresses, strangers, many, cost), daemon=True)
    flood_began = time.monotonic()
    flood.start()
    try:
        _settle(strangers, many, cost)
        watch = _Watch(server)
        seen = _callers(server, flood, seconds, account, tls)
        if strangers and flood.exitcode is not None and flood.exitcode >= 0:
            raise RuntimeError(f"the flood of `{attack.name}` ended by itself")
        flooded = time.monotonic() - flood_began
        opened, held = cost.opened.value, cost.held.value
        rate = sum(kind.rate for kind in strangers)
        of_rate = cost.said.value / flooded / rate if rate else None
        paid = Paid(cost.sent_bytes.value / flooded, (opened - held) / flooded, held, of_rate)
        # The flood goes on: it must not hold up the end.
        return watch.outcome(attack, many, seen, paid)
    finally:
        flood.kill()
        flood.join()


def _measure_game(game: Game, server: Server, seconds: float) -> Outcome:
    account = _open_account(server, "honest", frozenset(), game.honest)
    here, there = _fork.Pipe(duplex=False)
    field = Field(server, account, time.monotonic() + seconds)
    player = _fork.Process(target=_play, args=(there, game, field), daemon=True)
    watch = _Watch(server)
    player.start()
    try:
        seen = _callers(server, player, seconds, account, frozenset())
        if not here.poll(PATIENCE):
            raise RuntimeError(f"the game `{game.name}` did not come to an end")
        gained: Gained = here.recv()
        return watch.outcome(game, False, seen, gained)
    finally:
        player.kill()
        player.join()


def _play(answer: Connection, game: Game, field: Field) -> None:
    os.nice(_NICENESS)
    try:
        gained = game.play(field)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        gained = Gained("-", (f"the game ended early: {error}",))
    answer.send(gained)


def _open_account(server: Server, kind: str, tls: frozenset[str], source: str = HONEST) -> honest.Account:
    # The database may be one that an earlier trial has used.
    name = f"{kind}-{os.getpid()}-{next(_numbers)}"
    return honest.open_account(server.addresses, name, server.client(name), tls, source)


class _Watch:
    """Watches what a trial costs the server, from now on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._cpu, self._began = server.cpu_seconds(), time.monotonic()
        self._log_bytes, self._audit_lines = server.log_bytes(), server.audit().count(b"\n")

    def outcome(self, attack: Attack | Game, many: bool, seen: dict[str, honest.Seen], paid: Paid | Gained) -> Outcome:
        """Stops the server."""
        server, took = self._server, time.monotonic() - self._began
        died = not server.is_running()
        memory = 0.0 if died else server.memory_mib()[1]
        cpu = 0.0 if died else server.cpu_seconds() - self._cpu
        log_bytes = server.log_bytes() - self._log_bytes
        audit_lines = server.audit().count(b"\n") - self._audit_lines
        stopped_after = None if died else server.stop()
        return Outcome(attack, many, took, seen, paid, memory, cpu, log_bytes, audit_lines, stopped_after, died)


def _flood(addresses: dict[str, Address], strangers: tuple[Strangers, ...], many: bool, cost: Cost) -> None:
    os.nice(_NICENESS)
    Flood(addresses, strangers, many, cost).run()


def _settle(strangers: tuple[Strangers, ...], many: bool, cost: Cost) -> None:
    ends = time.monotonic() + (_SETTLES_WITHIN if strangers else 0.0)
    expected = sum(kind.connections for kind in strangers)
    while time.monotonic() < ends and cost.held.value < expected:
        time.sleep(0.1)
        if expected and cost.opened.value >= 2 * expected:
            # They come and go.
            break
    if strangers:
        time.sleep(1.0)


def _callers(
    server: Server,
    flood: multiprocessing.process.BaseProcess,
    seconds: float,
    account: honest.Account,
    tls: frozenset[str],
) -> dict[str, honest.Seen]:
    here, there = _fork.Pipe(duplex=False)
    callers = _fork.Process(target=_call, args=(there, seconds, server.addresses, account, tls), daemon=True)
    callers.start()
    try:
        ends = time.monotonic() + seconds + PATIENCE
        while not here.poll(0.1):
            if time.monotonic() > ends:
                raise RuntimeError("the honest callers did not come to an end")
            if server.is_running() and server.memory_mib()[0] > _STOP_MIB:
                flood.kill()
        seen: dict[str, honest.Seen] = here.recv()
        return seen
    finally:
        callers.kill()
        callers.join()


def _call(answer: Connection, seconds: float, addresses: dict[str, Address], account: honest.Account, tls: frozenset[str]) -> None:
    answer.send(honest.call_for(seconds, addresses, account, tls))
