"""Owns `scripts/attack`: which attacks run, and what is said of them."""

import argparse
import os
import platform
import re
import signal
import sys
from pathlib import Path

import report
import trial
from attacks import ALL, Attack
from games import ALL as GAMES
from games import Game
from loopback import Address
from server import raise_open_files

_ROOT = Path(__file__).resolve().parents[2]
_DATABASE = "SIGNET_TEST_DATABASE_URL"


def main() -> int:
    arguments = _arguments()
    if arguments.list:
        for attack in ALL:
            print(f"{attack.name:24} {attack.title}{', and from 200 addresses' if attack.also_from_many else ''}")
        for game in GAMES:
            print(f"{game.name:24} {game.title}: from {game.source}")
        return 0
    trials = _chosen(arguments)
    if any(isinstance(attack, Attack) and attack.database_ms is not None for attack, _ in trials) and _DATABASE not in os.environ:
        # Once more, with a private server of PostgreSQL.
        databases = str(_ROOT / "scripts/databases")
        os.execv(databases, (databases, "postgres", sys.executable, "-B", *sys.argv))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    raise_open_files()
    program = arguments.program.resolve()
    outcomes = []
    for attack, many in trials:
        outcome = trial.run(attack, many, program, arguments.seconds, _database())
        outcomes.append(outcome)
        print(report.line(outcome), flush=True)
    print(f"\n{report.table(outcomes)}")
    if arguments.write:
        report.write(_ROOT / "docs/SECURITY.md", outcomes, _machine(arguments.seconds))
    missed = [outcome for outcome in outcomes if outcome.misses()]
    print(f"\n{len(outcomes) - len(missed)} of {len(outcomes)} trials kept what is promised.")
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/attack", add_help=False)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", metavar="NAME", default=[])
    parser.add_argument("--from", dest="sources", choices=("1", "200"))
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--program", type=Path, default=_ROOT / "target/release/signet")
    arguments = parser.parse_args()
    if arguments.write and (arguments.only or arguments.sources):
        parser.error("--write needs all attacks")
    if not 1 <= arguments.seconds <= 60:
        parser.error("--seconds takes 1 to 60")
    return arguments


def _chosen(arguments: argparse.Namespace) -> list[tuple[Attack | Game, bool]]:
    """The attacks, each from one address and, where that is tried, from 200; and the games."""
    known = {trial.name for trial in (*ALL, *GAMES)}
    if unknown := set(arguments.only) - known:
        sys.exit(f"scripts/attack: there is no attack {', '.join(sorted(unknown))}: see --list")
    trials: list[tuple[Attack | Game, bool]] = [
        (attack, many) for attack in ALL for many in (False, True) if attack.also_from_many or not many
    ]
    wanted = {"1": False, "200": True}.get(arguments.sources)
    trials = [(attack, many) for attack, many in trials if wanted is None or many == wanted]
    if wanted is None:
        trials += ((game, False) for game in GAMES)
    return [(attack, many) for attack, many in trials if not arguments.only or attack.name in arguments.only]


def _database() -> Address | None:
    found = re.fullmatch(r"postgres://signet@(127\.0\.0\.1:\d+)/postgres", os.environ.get(_DATABASE, ""))
    return Address.parse(found[1]) if found else None


def _machine(seconds: float) -> str:
    return f"{os.cpu_count()} cores ({platform.machine()}), {seconds:.0f} s an attack; the attacker runs on the same cores."


if __name__ == "__main__":
    sys.exit(main())
