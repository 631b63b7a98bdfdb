"""Verifies one access token of Signet by PyJWT: ISSUER, AUDIENCE, TOKEN. With `--default`: as PyJWT does if nothing is set."""

import os
import sys

import jwt

ISSUER, AUDIENCE, TOKEN = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json", cache_keys=True)
REQUIRED = ["exp", "iat", "iss", "aud", "sub", "jti", "client_id", "scope"]


def verified(token: str) -> dict:
    """The claims of a good access token."""
    key = keys.get_signing_key_from_jwt(token)
    if jwt.get_unverified_header(token).get("typ", "").lower().removeprefix("application/") != "at+jwt":
        raise jwt.InvalidTokenError("its typ is not at+jwt")
    # The algorithm is the key's own, whatever the token says.
    options = {"require": REQUIRED, "verify_iat": True}
    return jwt.decode(token, key, algorithms=[key.algorithm_name], audience=AUDIENCE, issuer=ISSUER, leeway=5, options=options)


def by_default(token: str) -> dict:
    """What PyJWT says if nothing is set but what it cannot do without."""
    key = keys.get_signing_key_from_jwt(token)
    return jwt.decode(token, key, algorithms=["RS256"])


try:
    print((by_default if "--default" in sys.argv else verified)(TOKEN)["sub"])
except (jwt.PyJWTError, KeyError) as error:
    sys.exit(f"{type(error).__name__}: {error}")
