"""Verifies one access token of Signet by joserfc: ISSUER, AUDIENCE, TOKEN. With `--default`: as joserfc does if nothing is set."""

import json
import os
import sys
import urllib.request

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ISSUER, AUDIENCE, TOKEN = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# A service keeps the set, and fetches it anew at times, and when a `kid` is unknown: joserfc does neither.
with urllib.request.urlopen(f"{ISSUER}/.well-known/jwks.json", timeout=5) as answer:
    keys = KeySet.import_key_set(json.load(answer))
claims = jwt.JWTClaimsRegistry(
    leeway=5,
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    **{name: {"essential": True} for name in ("exp", "iat", "sub", "jti", "client_id")},
    scope={"essential": True, "allow_blank": True},
)


def verified(token: str) -> dict:
    """The claims of a good access token."""
    decoded = jwt.decode(token, keys, algorithms=["ES256", "RS256", "EdDSA"])
    if str(decoded.header.get("typ")).lower().removeprefix("application/") != "at+jwt":
        raise JoseError("its typ is not at+jwt")
    claims.validate(decoded.claims)
    return decoded.claims


def by_default(token: str) -> dict:
    """What joserfc says if nothing is set: no claim is looked at."""
    return jwt.decode(token, keys).claims


try:
    print((by_default if "--default" in sys.argv else verified)(TOKEN)["sub"])
except JoseError as error:
    sys.exit(f"{type(error).__name__}: {error}")
