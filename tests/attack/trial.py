"""Owns one trial: a fresh server, a flood, and honest callers beside it."""

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
from loopback import Address
from server import BUDGET_MIB, PATIENCE, STOPS_WITHIN, Server, scratch
from strangers import Cost, Flood, Strangers

# How long a flood may take to have all its connections, before honest callers begin.
_SETTLES_WITHIN = 5.0

# Beyond this nothing more is learnt, and the machine is somebody's.
_STOP_MIB = 2_048

# A gigabyte in half a day.
_LOG_BYTES_PER_SECOND = 20_000

# The flood's machine is not the server's in earnest.
_NICENESS = 10

_fork = multiprocessing.get_context("fork")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Outcome:
    """What one trial showed."""

    attack: Attack
    many: bool
    seconds: float
    # Each second, from the flood's beginning.
    sent_bytes: float
    # Connections that replaced others, each second.
    opened_anew: float
    held: int
    seen: dict[str, honest.Seen]
    memory_mib: float
    cpu_seconds: float
    log_bytes: int
    # How long it took to stop; none: it did not.
    stopped_after: float | None
    died: bool

    def misses(self) -> list[str]:
        """What was promised and did not hold."""
        missed = []
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
        if not self.died and (self.stopped_after is None or self.stopped_after > STOPS_WITHIN):
            took = "did not stop" if self.stopped_after is None else f"stopped after {self.stopped_after:.1f} s"
            missed.append(f"{took} of {STOPS_WITHIN:.0f}")
        return missed


def run(attack: Attack, many: bool, program: Path, seconds: float, database: Address | None) -> Outcome:
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


def _certificate(directory: Path) -> tuple[str, ...]:
    """Makes one for 127.0.0.1, and the flags that name it."""
    cert, key = str(directory / "tls.crt"), str(directory / "tls.key")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-keyout", key, "-out", cert], check=True, capture_output=True, timeout=PATIENCE)
    return "--tls-cert", cert, "--tls-key", key


def _measure(attack: Attack, many: bool, server: Server, seconds: float) -> Outcome:
    tls = frozenset(server.addresses if attack.tls else ())
    # The database may be one that an earlier trial has used.
    number = f"{os.getpid()}-{next(_numbers)}"
    account = honest.open_account(server.addresses, f"honest-{number}", server.client(f"honest-{number}"), tls)
    strangers = attack.strangers
    if attack.as_user:
        user = honest.open_account(server.addresses, f"hostile-{number}", ("", ""), tls)
        strangers = attack.as_user(user.token)
    cost = Cost(_fork.Value("q", 0), _fork.Value("q", 0), _fork.Value("q", 0))
    flood = _fork.Process(target=_flood, args=(server.addresses, strangers, many, cost), daemon=True)
    flood_began = time.monotonic()
    flood.start()
    try:
        _settle(strangers, many, cost)
        cpu, log_bytes = server.cpu_seconds(), server.log_bytes()
        began = time.monotonic()
        seen = _callers(server, flood, seconds, account, tls)
        took = time.monotonic() - began
        if strangers and flood.exitcode is not None and flood.exitcode >= 0:
            raise RuntimeError(f"the flood of `{attack.name}` ended by itself")
        died = not server.is_running()
        memory = 0.0 if died else server.memory_mib()[1]
        cpu = 0.0 if died else server.cpu_seconds() - cpu
        log_bytes = server.log_bytes() - log_bytes
        flooded = time.monotonic() - flood_began
        sent, opened, held = cost.sent_bytes.value / flooded, cost.opened.value, cost.held.value
        # The flood goes on: it must not hold up the end.
        stopped_after = None if died else server.stop()
        return Outcome(attack, many, took, sent, (opened - held) / flooded, held, seen, memory, cpu, log_bytes, stopped_after, died)
    finally:
        flood.kill()
        flood.join()


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
