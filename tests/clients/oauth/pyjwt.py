"""A service in Python that verifies tokens by PyJWT's PyJWKClient, through a rotation of keys."""

import jwt
from surroundings import ALG, AUDIENCE, ISSUER, log_in, rotate

# It asks again for a key that it does not know. By default not within 30 s of the last time; here keys are published a second ahead.
keys = jwt.PyJWKClient(f"{ISSUER}/.well-known/jwks.json", cooldown_duration=0)


def verified(token):
    key = keys.get_signing_key_from_jwt(token)
    required = ["exp", "iat", "iss", "aud", "sub", "jti", "client_id", "scope", "sid"]
    return jwt.decode(token, key, algorithms=[ALG], audience=AUDIENCE, issuer=ISSUER, options={"require": required})


first = log_in()["access_token"]
claims = verified(first)
assert jwt.get_unverified_header(first)["typ"] == "at+jwt"

second = rotate(lambda: log_in()["access_token"])
assert verified(second)["sub"] == claims["sub"]
assert verified(first) == claims, "a token outlives the key's time of signing"

head, payload, signature = second.split(".")
forged = ".".join([head, payload, first.split(".")[2]])
try:
    verified(forged)
except jwt.InvalidSignatureError:
    pass
else:
    raise AssertionError("a forged token was verified")
