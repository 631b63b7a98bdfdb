"""Owns games of those who guess: passwords, from one address, from many and through an ingress, and clients' secrets."""

import itertools
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import honest
import wire
from attacks import says
from loopback import STRANGER

from . import web
from .game import Field, Gained, Game

# The stranger is a proxy that the operator has named, and so can come from any address.
PROXY = ("--trusted-proxy-addresses", STRANGER)

# Where it is counted what may be guessed, and not how long it takes: hashes that cost a hundredth.
CHEAP = ("--argon2-memory-kib", "1024", "--argon2-iterations", "1", "--argon2-below-owasp=on")

_CHANGE_PASSWORD = "/identity.v1.IdentityService/ChangePassword"
_DELETE_ME = "/identity.v1.IdentityService/DeleteMe"

THROTTLED = "TOO_MANY_ATTEMPTS"

# What is promised of one account, with what it earns meanwhile: of failures at once, of one address, and of all addresses that come
# when that is used up, in a day.
_OF_ACCOUNT, _OF_ADDRESS, _OF_NEWCOMER, _OF_NEWCOMERS = 100, 100, 3, 300
_EARNED = 5

# Of a hash that somebody was brought over with: bcrypt of cost 14, and scrypt of 64 MiB.
_BCRYPT = "$2b$14$abcdefghijklmnopqrstuul23KaJPfG17fYq5iST4cMx3J830VIcu"
_SCRYPT = "$scrypt$ln=16,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"


class Guesser:
    """Guesses passwords, some at a time, and counts what comes back."""

    def __init__(self, field: Field, together: int = 8, source: str = STRANGER) -> None:
        self._field, self._together, self._source = field, together, source
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()
        # Refusals that do not say when to come back, or not to gRPC's own retries.
        self.without_time = 0

    @property
    def judged(self) -> int:
        """How many passwords were compared."""
        return self.answers["INVALID_CREDENTIALS"]

    @property
    def throttled(self) -> int:
        return self.answers[THROTTLED]

    def guess(
        self,
        tries: Iterator[tuple[str, str]],
        enough: Callable[["Guesser"], bool],
        ends: float,
        ask: Callable[[web.Caller, str, str], web.Answer] | None = None,
    ) -> None:
        """Tries the names from the addresses that `tries` has, until it is `enough`: by logging in, or by what else asks for a password."""

        def keep_guessing() -> None:
            caller = web.Caller(self._field.addresses["grpc"], self._source)
            while time.monotonic() < ends:
                with self._lock:
                    if enough(self):
                        break
                    name, address = next(tries, ("", ""))
                if not name:
                    break
                answer = (ask or _log_in)(caller, name, address)
                with self._lock:
                    self._count(answer)
            caller.close()

        threads = [threading.Thread(target=keep_guessing) for _ in range(self._together)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _count(self, answer: web.Answer) -> None:
        self.answers[answer.reason or str(answer.status)] += 1
        said_twice = answer.retry_after is not None and answer.pushback is not None
        if answer.status == web.RESOURCE_EXHAUSTED and not (said_twice and abs(answer.retry_after - answer.pushback) < 0.01):
            self.without_time += 1

    def gained(self, most: int, what: str = "guesses", more: str = "") -> Gained:
        """That no more than `most` passwords were compared, and the rest told when to come back."""
        tried = sum(self.answers.values())
        missed = []
        if self.judged > most:
            missed.append(f"{self.judged} passwords were compared, of {most}")
        if not self.throttled:
            missed.append("nobody was told to come back later")
        if self.without_time:
            missed.append(f"{self.without_time} refusals did not say when to come back")
        if unknown := set(self.answers) - {"INVALID_CREDENTIALS", THROTTLED, "OVERLOADED"}:
            missed.append(f"other answers: {', '.join(sorted(unknown))}")
        return Gained(f"{self.judged} {what} of {tried:,} tried{more}", tuple(missed))


def _log_in(caller: web.Caller, name: str, address: str) -> web.Answer:
    return caller.call(says.ISSUE_TOKEN, honest.password_grant(name, secrets.token_urlsafe(9)), client=address)


def _public(number: int) -> str:
    """One of many addresses that anybody may have."""
    return f"52.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


# ===== one account =====


def _from_one(field: Field) -> Gained:
    """As fast as it goes, also after it was told to wait."""
    guesser = Guesser(field, together=16)
    guesser.guess(itertools.repeat((field.account.username, _public(1))), lambda it: it.throttled >= 500, field.ends)
    return guesser.gained(_OF_ACCOUNT + _EARNED)


def _together(field: Field) -> Gained:
    """Forty at a time, each on a connection of its own: all are on their way before the first is judged."""
    guesser = Guesser(field, together=40)
    guesser.guess(itertools.repeat((field.account.username, _public(1)), 400), lambda it: False, field.ends)
    return guesser.gained(_OF_ACCOUNT + _EARNED)


def _by_all_doors(field: Field) -> Gained:
    """By everything that asks for a password, with an access token that was stolen."""
    bearer = honest.bearer(field.account.token)
    doors = itertools.cycle(range(4))

    def ask(caller: web.Caller, name: str, address: str) -> web.Answer:
        guess = secrets.token_urlsafe(9)
        match next(doors):
            case 0:
                said = wire.field(1, guess) + wire.field(2, "correct horse battery too")
                return caller.call(_CHANGE_PASSWORD, said, bearer, client=address)
            case 1:
                return caller.call(_DELETE_ME, wire.field(1, guess), bearer, client=address)
            case 2:
                form = {"grant_type": "password", "username": name, "password": guess}
                return web.post_form(field.addresses["http"], says.TOKEN_ENDPOINT, form, address)
            case _:
                return _log_in(caller, name, address)

    guesser = Guesser(field)
    guesser.guess(itertools.repeat((field.account.username, _public(1))), lambda it: it.throttled >= 200, field.ends, ask)
    return guesser.gained(_OF_ACCOUNT + _EARNED)


def _made_up(field: Field) -> Gained:
    """At a name that nobody has: it must not be told from one that somebody has."""
    guesser = Guesser(field)
    guesser.guess(itertools.repeat(("nobody-has-this-name", _public(1))), lambda it: it.throttled >= 200, field.ends)
    gained = guesser.gained(_OF_ACCOUNT + _EARNED, "answers that say the password is wrong")
    if guesser.judged < _OF_ACCOUNT - _EARNED:
        return Gained(gained.said, (*gained.missed, f"refused after {guesser.judged}, sooner than a name that there is"))
    return gained


def _from_thousand(field: Field) -> Gained:
    """Each address comes again and again, the account's own allowance being used up soon."""
    guesser = Guesser(field)
    tries = ((field.account.username, _public(number)) for _ in range(5) for number in range(1_000))
    guesser.guess(tries, lambda it: False, field.ends)
    return guesser.gained(_OF_ACCOUNT + _OF_NEWCOMERS + _EARNED)


def _from_site(field: Field) -> Gained:
    """The networks of one IPv6 /48, as a customer of any hoster has."""
    guesser = Guesser(field)
    tries = ((field.account.username, f"2600:1f00:1:{number:x}::1") for number in range(2_000))
    guesser.guess(tries, lambda it: False, field.ends)
    return guesser.gained(_OF_ACCOUNT + _OF_NEWCOMER + _EARNED)


# ===== many accounts =====


def _made_up_names() -> Iterator[str]:
    return (f"n{secrets.token_hex(8)}" for _ in itertools.count())


def _spray(field: Field) -> Gained:
    """Another name each time: no account's allowance is used up, so the address's own must be."""
    began, guesser = time.monotonic(), Guesser(field, together=16)
    guesser.guess(((name, _public(1)) for name in _made_up_names()), lambda it: it.throttled >= 500, field.ends)
    return guesser.gained(_OF_ADDRESS + _EARNED + round(time.monotonic() - began), "guesses at as many names")


def _through_ingress(field: Field) -> Gained:
    """The honest callers come from the same address, which is private, and which the operator has not named."""
    guesser = Guesser(field, together=24, source=field.account.source)
    guesser.guess(((name, "") for name in _made_up_names()), lambda it: False, field.ends)
    missed = []
    if guesser.throttled:
        missed.append(f"{guesser.throttled} logins were refused for what others at the address did")
    warned = "--trusted-proxy-addresses" in field.server.log()
    if not warned:
        missed.append("the log does not say to name the proxy")
    return Gained(f"{guesser.judged:,} guesses at as many names{'; a WARN says to name the proxy' if warned else ''}", tuple(missed))


def _one_through_ingress(field: Field) -> Gained:
    """The same at one account, which is not that of the honest callers."""
    guesser = Guesser(field, together=24, source=field.account.source)
    guesser.guess(itertools.repeat(("somebody-else", "")), lambda it: False, field.ends)
    return guesser.gained(_OF_ACCOUNT + _OF_NEWCOMER + _EARNED)


# ===== hashes that cost more =====


def _imported(password_hash: str) -> Callable[[Field], Gained]:
    def play(field: Field) -> Gained:
        field.import_user("brought-over", password_hash)
        guesser = Guesser(field, together=16)
        addresses = (_public(number) for number in itertools.count())
        guesser.guess((("brought-over", address) for address in addresses), lambda it: False, field.ends)
        return Gained(f"{guesser.judged} guesses of {sum(guesser.answers.values()):,} tried")

    return play


# ===== clients =====


def _secrets(field: Field) -> Gained:
    """From one address; afterwards the right secret must be taken from there all the same."""
    answers: Counter[str] = Counter()
    account, caller = field.account, web.Caller(field.addresses["grpc"])

    def ask(secret: str) -> web.Answer:
        client = wire.field(4, wire.field(1, account.client_id) + wire.field(2, secret))
        return caller.call(says.ISSUE_TOKEN, wire.field(3, b"") + client, client=_public(1))

    began, without_time = time.monotonic(), 0
    while time.monotonic() < field.ends and answers[THROTTLED] < 500:
        answer = ask(secrets.token_urlsafe(32))
        answers[answer.reason] += 1
        without_time += answer.reason == THROTTLED and answer.pushback is None
    most = _OF_ADDRESS + _EARNED + round(time.monotonic() - began)
    missed = [f"{without_time} refusals did not say when to come back"] if without_time else []
    if answers["INVALID_CLIENT"] > most or not answers[THROTTLED]:
        missed.append(f"{answers['INVALID_CLIENT']} secrets were compared, of {most}")
    if not ask(account.client_secret).is_ok:
        missed.append("the right secret is refused, too")
    tried = sum(answers.values())
    return Gained(f"{answers['INVALID_CLIENT']} guesses of {tried:,} tried; the right secret is still taken", tuple(missed))


# ===== sign-ups =====


def _sign_ups(field: Field) -> Gained:
    began, caller, answers = time.monotonic(), web.Caller(field.addresses["grpc"]), Counter[str]()
    while time.monotonic() < field.ends and answers[THROTTLED] < 500:
        said = wire.field(1, f"u{secrets.token_hex(8)}") + wire.field(2, "correct horse battery")
        answer = caller.call(says.SIGN_UP, said, client=_public(1))
        answers[answer.reason or "accounts"] += 1
    most = _OF_ADDRESS + _EARNED + round(time.monotonic() - began)
    missed = (f"{answers['accounts']} accounts, of {most}",) if answers["accounts"] > most or not answers[THROTTLED] else ()
    return Gained(f"{answers['accounts']} accounts of {sum(answers.values()):,} tried", missed)


GAMES = (
    Game("guess-one", "An account's password is guessed at, as fast as it goes", "1 address", _from_one, PROXY, 12.0),
    Game("guess-together", "The same, 40 guesses at a time", "1 address", _together, (*PROXY, *CHEAP)),
    Game(
        "guess-all-doors",
        "The same by ChangePassword and DeleteMe with a stolen access token, over HTTP, and by logins",
        "1 address",
        _by_all_doors,
        (*PROXY, *CHEAP),
    ),
    Game("guess-made-up", "The same at a name that nobody has", "1 address", _made_up, (*PROXY, *CHEAP)),
    Game("guess-1000", "The same, 5 guesses from each address", "1,000 addresses", _from_thousand, (*PROXY, *CHEAP), 15.0),
    Game("guess-site", "The same, a guess from each /64", "an IPv6 /48", _from_site, (*PROXY, *CHEAP), 10.0),
    Game("spray", "Another name each time", "1 address", _spray, (*PROXY, *CHEAP)),
    Game(
        "guess-ingress",
        "Another name each time, through an ingress that nobody has named and that honest callers come through",
        "a private address",
        _through_ingress,
        takes=8.0,
        honest=STRANGER,
    ),
    Game(
        "guess-ingress-one",
        "One account, through the same",
        "a private address",
        _one_through_ingress,
        takes=8.0,
        honest=STRANGER,
    ),
    Game(
        "guess-bcrypt",
        "A user who was brought over with bcrypt of cost 14 is guessed at, 16 guesses at a time",
        "many addresses",
        _imported(_BCRYPT),
        PROXY,
        10.0,
    ),
    Game(
        "guess-scrypt",
        "A user who was brought over with scrypt of 64 MiB is guessed at, 16 guesses at a time",
        "many addresses",
        _imported(_SCRYPT),
        PROXY,
        10.0,
    ),
    Game("guess-secrets", "A client's secret is guessed at", "1 address", _secrets, PROXY, 8.0),
    Game("sign-ups-throttled", "Accounts are opened, one after another", "1 address", _sign_ups, (*PROXY, *CHEAP)),
)
