"""Owns the table: what was tried, and how it looks on a terminal and in docs/SECURITY.md."""

from pathlib import Path

import honest
from server import BUDGET_MIB
from games import Gained, Game
from trial import Outcome, Paid

_BEGIN, _END = "<!-- scripts/attack begins -->", "<!-- scripts/attack ends -->"

_SEEN = "Calls of others in time | p99, ms (login) | Memory, MiB |"
_RULE = "|---|---|---|---|---|---|"
_FLOODS = (f"| Attack | From | Cost to the attacker | {_SEEN}", _RULE)
_GAMES = (f"| Who guesses, steals or imitates | From | What that gains | {_SEEN}", _RULE)


def line(outcome: Outcome) -> str:
    """One line for who watches."""
    missed = outcome.misses()
    rate = outcome.cpu_seconds / outcome.seconds
    stopped = "-" if outcome.stopped_after is None else f"{outcome.stopped_after:.1f} s"
    told = (
        f"{'ok  ' if not missed else 'MISS'} {outcome.attack.name}{' (200 addresses)' if outcome.many else ''}:"
        f" {_paid(outcome)}; {_seen(outcome)}; p99 {_slowest(outcome)} ms; {outcome.memory_mib:.0f} MiB;"
        f" CPU {rate:.2f}; log {outcome.log_bytes / outcome.seconds:.0f} B/s; audit {outcome.audit_lines} lines; stops in {stopped}"
    )
    return "\n".join((told, *(f"     - {each}" for each in missed)))


def table(outcomes: list[Outcome]) -> str:
    """Two, of floods and of games, if there are both."""
    games = [_row(outcome) for outcome in outcomes if isinstance(outcome.paid, Gained)]
    floods = [_row(outcome) for outcome in outcomes if isinstance(outcome.paid, Paid)]
    tables = ((*head, *rows) for head, rows in ((_FLOODS, floods), (_GAMES, games)) if rows)
    return "\n\n".join("\n".join(lines) for lines in tables)


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
        outcome.attack.source if isinstance(outcome.attack, Game) else "200" if outcome.many else "1",
        _paid(outcome),
        _seen(outcome),
        _slowest(outcome),
        f"{outcome.memory_mib:.0f} of {BUDGET_MIB}",
    )
    return f"| {' | '.join(cells)} |"


def _paid(outcome: Outcome) -> str:
    paid, attack = outcome.paid, outcome.attack
    if isinstance(paid, Gained):
        return paid.said
    if not isinstance(attack, Game) and not attack.strangers and not attack.as_user:
        return "-"
    said = [_size(paid.sent_bytes) + "/s", f"{paid.held:,} connections"]
    if paid.opened_anew >= 1:
        said.append(f"{paid.opened_anew:,.0f}/s anew")
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
