"""Owns games of thieves of refresh tokens: from near and far, who show Signet the access tokens that they get or do not."""

import base64
import dataclasses
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass

import honest
import wire
from attacks import says

from . import web
from .game import Field, Gained, Game
from .guessing import CHEAP, PROXY

_ROUNDS = 30

# In place of two minutes, so that what comes after it need not wait so long.
_WINDOW = ("--refresh-repeat-window", "1s")
_AFTER_WINDOW = 1.3

# How long it may take until an access token that was seen is noted.
_NOTED_WITHIN = 3.0

# How often a used token is answered within the window.
_MOST_REPEATS = 10

# How often a user may refresh at once; and once more each second.
_REFRESHES = 120

REUSED = "REFRESH_TOKEN_REUSED"

_CHANGE_PASSWORD = "/identity.v1.IdentityService/ChangePassword"
_OTHER = "another-user"


@dataclass(frozen=True)
class Place:
    """From where somebody calls."""

    address: str
    user_agent: str


_HOME = Place("52.0.0.1", "owner/1")
_AWAY = Place("52.99.0.1", "thief/1")


class Holder:
    """Somebody who has a session's refresh token: its owner or a thief."""

    def __init__(self, field: Field, place: Place, refresh_token: str = "") -> None:
        self._caller, self.place, self.refresh_token = web.Caller(field.addresses["grpc"]), place, refresh_token
        self.access_token, self.jtis = "", set[str]()

    def ask(self, path: str, said: bytes, *headers: tuple[str, str]) -> web.Answer:
        return self._caller.call(path, said, ("user-agent", self.place.user_agent), *headers, client=self.place.address)

    def log_in(self, account: honest.Account) -> "Holder":
        answer = self.ask(says.ISSUE_TOKEN, honest.password_grant(account.username, account.password))
        if not answer.is_ok:
            raise RuntimeError(f"the owner cannot log in: {answer.reason}")
        return self._keep(answer)

    def refresh(self, token: str = "") -> web.Answer:
        """With the newest token that it has, or another."""
        answer = self.ask(says.ISSUE_TOKEN, wire.field(2, wire.field(1, token or self.refresh_token)))
        if answer.is_ok:
            self._keep(answer)
        return answer

    def shows_access_token(self) -> web.Answer:
        return self.ask(says.GET_ME, b"", honest.bearer(self.access_token))

    def _keep(self, answer: web.Answer) -> "Holder":
        self.access_token, self.refresh_token = answer.field(1), answer.field(5)
        self.jtis.add(_jti(self.access_token))
        return self


def _jti(token: str) -> str:
    claims = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["jti"])


def _rounds(field: Field, place: Place, pause: float = 0.0, is_loud: bool = False) -> tuple[int, Holder, Holder]:
    """The thief copies a token once, and then refreshes in turn with the owner, the thief first. In which round that was seen, or 0."""
    owner = Holder(field, _HOME).log_in(field.account)
    thief = Holder(field, place, owner.refresh_token)
    for number in range(1, _ROUNDS + 1):
        for who in (thief, owner):
            answer = who.refresh()
            if answer.reason == REUSED:
                return number, thief, owner
            if not answer.is_ok:
                raise RuntimeError(f"{who.place.user_agent} gets {answer.reason} in round {number}")
            if who is thief and is_loud:
                thief.shows_access_token()
                time.sleep(_NOTED_WITHIN)
            time.sleep(pause)
        if time.monotonic() > field.ends:
            break
    return 0, thief, owner


def _seen_in(field: Field, by: int, place: Place, pause: float = 0.0, is_loud: bool = False) -> Gained:
    number, thief, _ = _rounds(field, place, pause, is_loud)
    if not number:
        return Gained(f"{len(thief.jtis)} access tokens, and was not seen", ("the thief was not seen",))
    missed = [f"seen in round {number}, not {by}"] if number > by else []
    # What it still has must be worth nothing.
    if thief.refresh().is_ok or thief.shows_access_token().is_ok:
        missed.append("the session goes on")
    tokens = "1 access token" if len(thief.jtis) == 1 else f"{len(thief.jtis)} access tokens"
    return Gained(f"{tokens}; seen in round {number}, and the session ended", tuple(missed))


def _far_silent(field: Field) -> Gained:
    return _seen_in(field, 2, _AWAY)


def _far_loud(field: Field) -> Gained:
    return _seen_in(field, 1, _AWAY, is_loud=True)


def _far_late(field: Field) -> Gained:
    """Neither from there nor in time: no repeat is answered."""
    return _seen_in(field, 1, _AWAY, _AFTER_WINDOW)


def _near_late(field: Field) -> Gained:
    return _seen_in(field, 2, _HOME, _AFTER_WINDOW)


def _near(field: Field) -> Gained:
    """The one thief who is not told from a second tab: what is promised is that there is never more than one chain."""
    number, thief, owner = _rounds(field, _HOME)
    foreign = len(thief.jtis - owner.jtis)
    missed = (f"{foreign} access tokens that the owner does not have",) if foreign else ()
    seen = f"seen in round {number}" if number else "not told from a second tab"
    return Gained(f"{len(thief.jtis)} access tokens in {_ROUNDS} rounds, the owner's own; {seen}", missed)


def _after_change(field: Field) -> Gained:
    """The owner changes the password in the session that the thief has a copy of."""
    thief, owner = _stolen_from_another(field)
    said = wire.field(1, field.account.password) + wire.field(2, "correct horse battery too")
    if not owner.ask(_CHANGE_PASSWORD, said, honest.bearer(owner.access_token)).is_ok:
        raise RuntimeError("the owner cannot change the password")
    return _has_nothing(thief)


def _after_disabling(field: Field) -> Gained:
    """The operator disables the user, and enables them when the password has been changed."""
    thief, _ = _stolen_from_another(field)
    field.server.operate("users", "disable", _OTHER, "--yes")
    field.server.operate("users", "enable", _OTHER)
    return _has_nothing(thief)


def _stolen_from_another(field: Field) -> tuple[Holder, Holder]:
    """A thief, and the owner, who is not the one whose token the honest callers use."""
    other = Holder(field, _HOME)
    said = wire.field(1, _OTHER) + wire.field(2, field.account.password)
    other.ask(says.SIGN_UP, said)
    other.log_in(dataclasses.replace(field.account, username=_OTHER))
    thief = Holder(field, _AWAY, other.refresh_token)
    thief.access_token = other.access_token
    return thief, other


def _has_nothing(thief: Holder) -> Gained:
    answers = (thief.refresh(), thief.shows_access_token())
    missed = ("the thief's tokens still work",) if any(answer.is_ok for answer in answers) else ()
    return Gained(f"{sum(answer.is_ok for answer in answers)} of 2 tokens still work", missed)


def _again(field: Field) -> Gained:
    """A used token, as fast as it goes, from where the exchange came from; the owner has not used the next one."""
    owner = Holder(field, _HOME).log_in(field.account)
    thief = Holder(field, _HOME, used := owner.refresh_token)
    first = owner.refresh()
    answers: Counter[str] = Counter()
    ends, without_time = min(field.ends, time.monotonic() + 3.0), 0
    while time.monotonic() < ends:
        answer = thief.refresh(used)
        answers["answered" if answer.is_ok else answer.reason] += 1
        without_time += answer.status == web.RESOURCE_EXHAUSTED and answer.pushback is None
    missed = []
    if not first.is_ok or answers["answered"] > _MOST_REPEATS:
        missed.append(f"{answers['answered']} repeats were answered, of {_MOST_REPEATS}")
    if thief.jtis - owner.jtis:
        missed.append(f"{len(thief.jtis - owner.jtis)} access tokens that the owner does not have")
    if without_time:
        missed.append(f"{without_time} refusals did not say when to come back")
    if answers[REUSED] or not owner.refresh().is_ok:
        missed.append("the owner's session has ended")
    tried = sum(answers.values())
    return Gained(f"{len(thief.jtis)} access token, the owner's own, of {tried:,} tried; the session goes on", tuple(missed))


def _without_end(field: Field) -> Gained:
    """A user who has eight sessions refreshes them in turn, as fast as it goes; no other user is to wait for the writes."""
    stolen, first = _stolen_from_another(field)
    account = dataclasses.replace(field.account, username=_OTHER)
    sessions = [first, *(Holder(field, _HOME).log_in(account) for _ in range(7))]
    started = time.monotonic()
    ends, answers, without_time = min(field.ends, started + 3.0), Counter[str](), 0
    while time.monotonic() < ends:
        for session in sessions:
            answer = session.refresh()
            answers["written" if answer.is_ok else answer.reason] += 1
            without_time += answer.status == web.RESOURCE_EXHAUSTED and answer.pushback is None
    most = _REFRESHES + int(time.monotonic() - started) + 1
    missed = []
    if answers["written"] > most:
        missed.append(f"{answers['written']} refreshes were written, of {most}")
    if without_time:
        missed.append(f"{without_time} refusals did not say when to come back")
    if set(answers) - {"written", "TOO_MANY_REFRESHES"}:
        missed.append("a session was refused otherwise")
    if stolen.refresh().reason != REUSED:
        missed.append("a thief was not seen meanwhile")
    tried = sum(answers.values())
    return Gained(f"{answers['written']} refreshes of {tried:,} tried; the sessions go on", tuple(missed))


def _tabs(field: Field) -> Gained:
    """No thief at all: fifty calls of one browser with the same token."""
    owner = Holder(field, _HOME).log_in(field.account)
    tabs = [Holder(field, _HOME, owner.refresh_token) for _ in range(50)]
    answers: list[web.Answer] = []
    threads = [threading.Thread(target=lambda tab=tab: answers.append(tab.refresh())) for tab in tabs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = sum(answer.is_ok for answer in answers)
    missed = []
    if any(answer.reason == REUSED for answer in answers):
        missed.append("a tab was taken for a thief")
    newest = next((tab for tab in tabs if tab.access_token), None)
    if newest is None or not newest.refresh().is_ok:
        missed.append("the session has ended")
    return Gained(f"{good} of {len(tabs)} tabs answered at once, the others told to come back; the session goes on", tuple(missed))


GAMES = (
    Game(
        "thief-far",
        "A refresh token is copied once, thief and owner refresh in turn, and the thief keeps the access tokens to itself",
        "elsewhere",
        _far_silent,
        (*PROXY, *CHEAP),
    ),
    Game("thief-far-loud", "The same, and the thief calls GetMe", "elsewhere", _far_loud, (*PROXY, *CHEAP), 8.0),
    Game(
        "thief-far-late",
        "The same, in silence, each after the repeat window (1 s here)",
        "elsewhere",
        _far_late,
        (*PROXY, *CHEAP, *_WINDOW),
        8.0,
    ),
    Game("thief-near-late", "The same", "the owner's address and user agent", _near_late, (*PROXY, *CHEAP, *_WINDOW), 10.0),
    Game("thief-near", "The same, always within the repeat window", "the owner's address and user agent", _near, (*PROXY, *CHEAP)),
    Game("thief-password", "A refresh token is copied, and its owner changes the password", "elsewhere", _after_change, (*PROXY, *CHEAP)),
    Game(
        "thief-disabled",
        "A refresh token is copied, and the operator disables the user and enables them again",
        "elsewhere",
        _after_disabling,
        (*PROXY, *CHEAP),
    ),
    Game("used-again", "A used refresh token, again and again for 3 s", "the owner's address and user agent", _again, (*PROXY, *CHEAP)),
    Game("refreshes", "A user of 8 sessions refreshes them again and again for 3 s", "1 address", _without_end, (*PROXY, *CHEAP)),
    Game("tabs", "No thief: 50 tabs of a browser refresh at once", "1 address", _tabs, (*PROXY, *CHEAP)),
)
