"""Owns the JWK Sets: those of `keys.json`, which tokens are verified with, and the cases of `jwks.json`."""

import json

from .keys import ED, ES, NEXT_ES, RS, published


def key_sets() -> dict:
    """`keys.json`."""
    main = [published(key) for key in (ES, ED, RS)]
    return {
        "main": {"keys": main},
        "rotated": {"keys": [published(NEXT_ES), published(ED), published(RS)]},
    }


def cases() -> list[dict]:
    """`jwks.json`."""
    es, ed, rs = published(ES), published(ED), published(RS)

    def one(name: str, why: str, document, expect) -> dict:
        text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
        return {"name": name, "why": why, "document": text, "expect": expect}

    refused = "refused"
    return [
        one("three keys", "All kinds that Signet signs with.", {"keys": [es, ed, rs]}, [ES.kid, ED.kid, RS.kid]),
        one("no keys", "None is usable.", {"keys": []}, refused),
        one("not JSON", "It cannot be read.", "<html></html>", refused),
        one("secret of HMAC", "Whoever reads the set could sign with it.",
            {"keys": [{"kty": "oct", "kid": "s", "alg": "HS256", "k": "c2VjcmV0"}, es]}, [ES.kid]),
        one("private key", "It is no longer private.", {"keys": [{**es, **ES.secret_member}, ed]}, [ED.kid]),
        one("two of one kid", "Which of the two a token means cannot be known.", {"keys": [es, {**ed, "kid": ES.kid}]}, refused),
    ]
