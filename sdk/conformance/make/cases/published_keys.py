"""Owns the cases of the issuer's set: keys that came and went, and keys that no token is verified with."""

from ..jwks import BY_ALGORITHM, ODD_KEYS
from ..keys import ED, ES, NEXT_ES, RS
from ..tokens import header, invalid, passes, user


def cases() -> list[dict]:
    """All."""
    gone = "A token does not outlive its key."
    left_out = "The key is left out of the set."
    odd = [
        invalid(f"odd key: {name}", left_out, head=header(key, alg=alg, kid=kid), key=key, jwks="odd", sign=sign)
        for name, (key, alg, kid, sign) in ODD_KEYS.items()
    ]
    return [
        *odd,
        passes("rotation: the next key", "It is in the set.", key=NEXT_ES, jwks="rotated"),
        invalid("rotation: a key that is gone", gone, jwks="rotated"),
        passes("rotation: a key that stays", "It is in the set.", key=ED, jwks="rotated"),
        passes("rotation: both keys, the old one", "It is in the set.", jwks="rotating"),
        passes("rotation: both keys, the next one", "It is in the set.", key=NEXT_ES, jwks="rotating"),
        invalid("rotation: the next key, before it is published", "It is not in the set.", key=NEXT_ES),
        invalid(
            "rotation: the key that is gone under the kid of the next",
            "The next one has not signed it.",
            head=header(NEXT_ES),
            key=ES,
            jwks="rotated",
        ),
        invalid(
            "rotation: the next key under the kid of the one that is gone",
            "The set has no such key.",
            head=header(ES),
            key=NEXT_ES,
            jwks="rotated",
        ),
        *(
            passes(f"one key in the set: {key.alg}", "It is the only one.", user(), key=key, jwks=name)
            for name, key in BY_ALGORITHM.items()
        ),
        *(
            invalid(f"one key in the set: {key.alg}, and the token is by {other.alg}", "The set has no such key.", key=other, jwks=name)
            for name, key in BY_ALGORITHM.items()
            for other in (ES, ED, RS)
            if other is not key
        ),
        passes("odd keys beside: ES256", "What is left out harms nobody.", jwks="odd"),
        passes("odd keys beside: RS256 that does not say so", "An RSA key that names no algorithm is for RS256.", key=RS, jwks="bare"),
        passes("keys that say nothing but what they are: ES256", "`use` and `alg` may be absent.", jwks="bare"),
        passes("keys that say nothing but what they are: EdDSA", "`use` and `alg` may be absent.", key=ED, jwks="bare"),
        passes("a kid of 255 bytes", "The longest.", head=header(kid="k" * 255), jwks="long_kid"),
        invalid("a kid of 256 bytes that is in the set", "It is too long.", head=header(kid="k" * 256), jwks="long_kid"),
        passes("a kid that looks like a path", "It is compared, and nothing else.", head=header(kid="../../keys/one"), jwks="odd_kids"),
        passes("a kid beyond ASCII", "It is compared, and nothing else.", head=header(kid="schlüssel"), jwks="odd_kids"),
        invalid(
            "a kid beyond ASCII that is composed otherwise",
            "It is another: nothing is normalised.",
            head=header(kid="schlu\u0308ssel"),
            jwks="odd_kids",
        ),
        passes("a kid with a space behind", "It is compared letter for letter.", head=header(kid="one "), jwks="odd_kids"),
        invalid("a kid without the space behind", "It is compared letter for letter.", head=header(kid="one"), jwks="odd_kids"),
    ]
