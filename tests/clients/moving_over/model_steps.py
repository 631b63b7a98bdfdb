"""What a team does that moves over from the model service, one step a command."""

import base64
import json
import sqlite3
import sys
from pathlib import Path

import jwt
import requests
from sqlalchemy import create_engine, text

ACCOUNT = {"username": "alice", "password": "correct horse battery"}
# That of model_service.py.
SECRET_KEY = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"


def got(answer):
    answer.raise_for_status()
    return answer.json()


def sign_up(url, username=ACCOUNT["username"]):
    """Prints with which status it ended."""
    print(requests.post(f"{url}/auth/signup", json={**ACCOUNT, "username": username}).status_code)


def log_in(url):
    print(got(requests.post(f"{url}/auth/token", data=ACCOUNT))["access_token"])


def me(url, token):
    print(json.dumps(got(requests.get(f"{url}/users/me", headers={"Authorization": f"Bearer {token}"}))))


def verify(place, old, new):
    """By the module `verify` in `place`: which user each of two tokens is of; and that nothing else is taken."""
    sys.path.insert(0, place)
    import verify

    verify.OLD_SECRET = SECRET_KEY
    print(json.dumps({"old": verify.claims(old), "new": verify.claims(new)["sub"]}))
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    header, payload, signature = new.split(".")
    said = jwt.decode(new, options={"verify_signature": False})
    # Whoever had a user's id for a name at the old service is not that user.
    namesake = jwt.encode({"sub": said["sub"], "exp": said["exp"]}, SECRET_KEY, algorithm="HS256")
    assert verify.claims(namesake) == {"username": said["sub"]}, verify.claims(namesake)
    public = verify.KEYS.get_signing_keys()[0]
    for forged in [
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{part({**said, 'sub': 'mallory'})}.{signature}",
        f"{part({'alg': 'none', 'typ': 'at+jwt', 'kid': public.key_id})}.{payload}.",
        # The public key, which everybody has, taken for the secret of an HMAC.
        jwt.encode(said, public.key_id, algorithm="HS256", headers={"typ": "at+jwt", "kid": public.key_id}),
        jwt.encode({"sub": "alice", "exp": said["exp"]}, "another secret that is long enough", algorithm="HS256"),
        jwt.encode({"sub": "alice"}, SECRET_KEY, algorithm="HS256"),
        jwt.encode({"sub": "alice", "exp": 1}, SECRET_KEY, algorithm="HS256"),
        "",
        "x",
    ]:
        try:
            verify.claims(forged)
        except jwt.PyJWTError:
            continue
        sys.exit(f"taken: {forged}")


def orders(url):
    """Whose the orders are in the old database, by their new ids."""
    select = "SELECT users.username, orders.user_uuid FROM orders JOIN users ON users.id = orders.user_id ORDER BY users.id"
    with create_engine(url).connect() as connection:
        for username, user_uuid in connection.execute(text(select)):
            print(json.dumps({"username": username, "user_uuid": user_uuid and str(user_uuid)}))


def sqlite(file):
    """Runs the SQL of standard input, with the function `readfile` of the program sqlite3, which not every machine has."""
    connection = sqlite3.connect(file)
    connection.create_function("readfile", 1, lambda path: Path(path).read_bytes())
    connection.executescript(sys.stdin.read())


globals()[sys.argv[1]](*sys.argv[2:])
