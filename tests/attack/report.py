"""Owns the table: what was tried, and how it looks on a terminal and in docs/SECURITY.md."""

from pathlib import Path

import honest
from server import BUDGET_MIB
from trial import Outcome

_BEGIN, _END = "<!-- scripts/attack begins -->", "<!-- scripts/attack ends -->"

_HEAD = (
    "| Attack | From | Cost to the attacker | Calls of others in time | p99, ms (login) | Memory, MiB |",
    "|---|---|---|---|---|---|",
)


def line(outcome: Outcome) -> str:
    """One line for who watches."""
    missed = outcome.misses()
    rate = outcome.cpu_seconds / outcome.seconds
    stopped = "-" if outcome.stopped_after is None else f"{outcome.stopped_after:.1f} s"
    told = (
        f"{'ok  ' if not missed else 'MISS'} {outcome.attack.name}{' (200 addresses)' if outcome.many else ''}:"
        f" {_cost(outcome)}; {_seen(outcome)}; p99 {_slowest(outcome)} ms; {outcome.memory_mib:.0f} MiB;"
        f" CPU {rate:.2f}; log {outcome.log_bytes / outcome.seconds:.0f} B/s; stops in {stopped}"
    )
    return "\n".join((told, *(f"     - {each}" for each in missed)))


def table(outcomes: list[Outcome]) -> str:
    return "\n".join((*_HEAD, *map(_row, outcomes)))


def write(path: Path, outcomes: list[Outcome], machine: str) -> None:
    """Replaces what is between the marks in `path`."""
    text = path.read_text()
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise RuntimeError(f"{path} has no lines {_BEGIN} and {_END}")
    path.write_text(f"{before}{begin}\n{machine}\n\n{table(outcomes)}\n{end}{after}")


def _row(outcome: Outcome) -> str:
    cells = (
        outcome.attack.title,
        "200" if outcome.many else "1",
        _cost(outcome),
        _seen(outcome),
        _slowest(outcome),
        f"{outcome.memory_mib:.0f} of {BUDGET_MIB}",
    )
    return f"| {' | '.join(cells)} |"


def _cost(outcome: Outcome) -> str:
    if not outcome.attack.strangers and not outcome.attack.as_user:
        return "-"
    said = [_size(outcome.sent_bytes) + "/s", f"{outcome.held:,} connections"]
    if outcome.opened_anew >= 1:
        said.append(f"{outcome.opened_anew:,.0f}/s anew")
    return ", ".join(said)


def _size(count: float) -> str:
    for unit, size in (("MB", 1e6), ("KB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:.0f} B"


def _seen(outcome: Outcome) -> str:
    """All, or what each kind with a failure saw."""
    short = [
        f"{kind.name} {seen.in_time} of {seen.calls}"
        for kind in honest.KINDS
        if (seen := outcome.seen[kind.name]).in_time < seen.calls or not seen.calls
    ]
    return ", ".join(short) or f"all of {sum(seen.calls for seen in outcome.seen.values()):,}"


def _slowest(outcome: Outcome) -> str:
    quick = [outcome.seen[kind.name].percentile(99) for kind in honest.KINDS if kind.name != "login"]
    return f"{max(quick) * 1_000:.0f} ({outcome.seen['login'].percentile(99) * 1_000:.0f})"
