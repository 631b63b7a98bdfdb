"""Owns the cases of what stands in `authorization` (RFC 6750 section 2.1, RFC 9110 section 11)."""

from ..tokens import bearer, invalid, passes, refused, token, user
from ..world import BOB


def cases() -> list[dict]:
    """All."""
    good, other = token(), token(user(sub=BOB))
    taken = [
        passes(f"authorization: {name}", why, authorization=[value])
        for name, why, value in [
            ("Bearer", "As RFC 6750 writes it.", f"Bearer {good}"),
            ("bearer", "A scheme is compared without case.", f"bearer {good}"),
            ("BEARER", "A scheme is compared without case.", f"BEARER {good}"),
            ("bEaReR", "A scheme is compared without case.", f"bEaReR {good}"),
            ("two spaces", "1*SP is one space or more.", f"Bearer  {good}"),
            ("ten spaces", "1*SP is one space or more.", f"Bearer{' ' * 10}{good}"),
        ]
    ]
    bad = [
        ("empty", "It is there, so it is not missing.", ""),
        ("a space", "No scheme.", " "),
        ("scheme alone", "No token.", "Bearer"),
        ("scheme and a space", "No token.", "Bearer "),
        ("scheme and spaces", "No token.", "Bearer   "),
        ("tab for the space", "1*SP has no tab.", f"Bearer\t{good}"),
        ("space and tab", "The token begins with a tab.", f"Bearer \t{good}"),
        ("tab and space", "The scheme ends with a tab.", f"Bearer\t {good}"),
        ("no scheme", "A token alone.", good),
        ("no space", "The scheme is another.", f"Bearer{good}"),
        ("colon", "The scheme is another.", f"Bearer: {good}"),
        ("comma", "The scheme is another.", f"Bearer, {good}"),
        ("Basic", "Another scheme.", "Basic YWxpY2U6c2VjcmV0"),
        ("Basic with a token", "Another scheme.", f"Basic {good}"),
        ("DPoP", "Another scheme: its proof is not looked at.", f"DPoP {good}"),
        ("Token", "Another scheme.", f"Token {good}"),
        ("Bear", "Another scheme.", f"Bear {good}"),
        ("BearerX", "Another scheme.", f"BearerX {good}"),
        ("Bearer twice", "A space is no part of a token.", f"Bearer Bearer {good}"),
        ("two tokens", "A space is no part of a token.", f"Bearer {good} {good}"),
        ("two joined by a comma", "What a proxy makes of two fields.", f"Bearer {good}, Bearer {other}"),
        ("the same two joined by a comma", "What a proxy makes of two fields.", f"Bearer {good}, Bearer {good}"),
        ("two tokens and a comma", "A comma is no part of a token.", f"Bearer {good},{good}"),
        ("comma behind", "A comma is no part of a token.", f"Bearer {good},"),
        ("space behind", "A space is no part of a token.", f"Bearer {good} "),
        ("tab behind", "A tab is no part of a token.", f"Bearer {good}\t"),
        ("newline behind", "A newline is no part of a token.", f"Bearer {good}\n"),
        ("carriage return and newline behind", "They are no part of a token.", f"Bearer {good}\r\n"),
        ("NUL behind", "A NUL is no part of a token.", f"Bearer {good}\0"),
        ("quoted", "Quotes are no part of a token.", f'Bearer "{good}"'),
        ("a parameter", "RFC 6750 has none.", f"Bearer access_token={good}"),
        ("a parameter behind", "RFC 6750 has none.", f"Bearer {good};charset=utf-8"),
        ("escaped", "Nothing is unescaped.", f"Bearer%20{good}"),
        ("a word", "It is no token.", "Bearer null"),
        ("letter beyond ASCII", "It is no token.", "Bearer é"),
        ("scheme beyond ASCII", "Another scheme.", f"Béarer {good}"),
        ("scheme with a Cyrillic letter", "It looks the same, and is another.", f"B\u0435arer {good}"),
        ("no-break space behind", "It is no part of a token.", f"Bearer {good}\u00a0"),
        ("no-break space for the space", "It is no space.", f"Bearer\u00a0{good}"),
        ("wide space for the space", "It is no space.", f"Bearer\u3000{good}"),
        ("token with a Cyrillic letter", "It looks the same, and is another.", f"Bearer \u0435{good[1:]}"),
        ("keys", "It is no token.", "Bearer \U0001f511.\U0001f511.\U0001f511"),
    ]
    refusals = [invalid(f"authorization: {name}", why, authorization=[value]) for name, why, value in bad]
    several = [
        invalid(f"authorization: {name}", "Which of two a proxy in front looked at cannot be known.", authorization=values)
        for name, values in [
            ("twice the same", [f"Bearer {good}", f"Bearer {good}"]),
            ("two tokens in two fields", [f"Bearer {good}", f"Bearer {other}"]),
            ("a good one and a bad one", [f"Bearer {good}", "Bearer abc"]),
            ("a bad one and a good one", ["Bearer abc", f"Bearer {good}"]),
            ("Basic and Bearer", ["Basic YWxpY2U6c2VjcmV0", f"Bearer {good}"]),
            ("a good one and an empty one", [f"Bearer {good}", ""]),
            ("an empty one and a good one", ["", f"Bearer {good}"]),
            ("two empty ones", ["", ""]),
        ]
    ]
    return [
        refused("authorization: none", "There is no `authorization`.", "TOKEN_MISSING", authorization=[]),
        *taken,
        *refusals,
        *several,
        invalid("authorization: something like a refresh token", "It is for Signet alone.", authorization=bearer("Wm9" + "a" * 83)),
        invalid("authorization: a UUID", "It is no token.", authorization=bearer(BOB)),
        invalid("authorization: something like an API key", "It is no token.", authorization=bearer("sk_live_0123456789abcdef")),
    ]
