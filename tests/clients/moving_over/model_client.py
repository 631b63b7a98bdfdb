"""A client of the model service. It is given a base URL and a name that nobody has, and prints what it got, one JSON object a line.

Of an answer it prints the status, `WWW-Authenticate` and the shape of the body: every key, and of each value what a client goes by. What
differs from run to run, ids and tokens, is printed as its type.
"""

import json
import sys

import requests

BASE_URL, USERNAME = sys.argv[1], sys.argv[2]
PASSWORD = "correct horse battery"


def shape(value, key=None):
    if isinstance(value, dict):
        # FastAPI repeats in `input` what was sent, and explains in `ctx`: nobody should go by either.
        kept = {name: item for name, item in value.items() if name not in ("input", "ctx")}
        return {name: shape(item, name) for name, item in sorted(kept.items())}
    if isinstance(value, list):
        # Of the position of an error in JSON, nothing.
        return [shape(item, key) for item in value if not (key == "loc" and isinstance(item, int))]
    if key in ("access_token", "id", "msg"):
        return type(value).__name__
    return "USERNAME" if value == USERNAME else value


def tell(what, answer):
    told = {"what": what, "status": answer.status_code, "challenge": answer.headers.get("www-authenticate")}
    assert answer.headers["content-type"] == "application/json", answer.headers
    print(json.dumps({**told, "body": shape(answer.json())}), flush=True)
    return answer


session = requests.Session()
url = lambda path: BASE_URL + path
account = {"username": USERNAME, "password": PASSWORD}

# Signing up.
tell("signed up", session.post(url("/auth/signup"), json=account))
tell("taken", session.post(url("/auth/signup"), json=account))
tell("with a slash", session.post(url("/auth/signup/"), json=account))
tell("more than is asked for", session.post(url("/auth/signup"), json={**account, "full_name": "A. Body", "age": 7}))
for what, body in {
    "no password": {"username": USERNAME},
    "nothing": {},
    "numbers": {"username": 1, "password": 2},
    "null": {"username": None, "password": None},
    "a list": [USERNAME, PASSWORD],
}.items():
    tell(what, session.post(url("/auth/signup"), json=body))
tell("no body", session.post(url("/auth/signup")))
tell("no JSON", session.post(url("/auth/signup"), data="{", headers={"Content-Type": "application/json"}))
tell("a form", session.post(url("/auth/signup"), data=account))
tell("JSON as text", session.post(url("/auth/signup"), data=json.dumps(account), headers={"Content-Type": "text/plain"}))
tell("another method", session.get(url("/auth/signup")))

# Logging in, as a form and in parts.
in_parts = lambda form: {name: (None, value) for name, value in form.items()}
for what, more in {
    "plain": {},
    "grant_type": {"grant_type": "password"},
    "empty grant_type": {"grant_type": ""},
    "a client": {"client_id": "string", "client_secret": "string"},
    "scopes": {"scope": "me items"},
    "all that Swagger UI sends": {"grant_type": "password", "scope": "", "client_id": "", "client_secret": ""},
    "another grant": {"grant_type": "client_credentials"},
    "wrong": {"password": "wrong"},
    "unknown": {"username": USERNAME + "-nobody"},
    "empty password": {"password": ""},
}.items():
    form = {**account, **more}
    tell(f"login: {what}", session.post(url("/auth/token"), data=form))
    tell(f"login in parts: {what}", session.post(url("/auth/token"), files=in_parts(form)))
tell("login: by Basic too", session.post(url("/auth/token"), data=account, auth=("a", "b")))
tell("login: with a slash", session.post(url("/auth/token/"), data=account))
tell("login: nothing", session.post(url("/auth/token")))
tell("login: no name", session.post(url("/auth/token"), data={"password": PASSWORD}))
tell("login: JSON", session.post(url("/auth/token"), json=account))
tell("login: another method", session.get(url("/auth/token")))

# Swagger UI's own login, as version 5 sends it.
swagger_ui = session.post(
    url("/auth/token"),
    headers={
        "Accept": "application/json, text/plain, */*",
        "Authorization": "Basic Og==",
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Requested-With": "XMLHttpRequest",
    },
    data={"grant_type": "password", **account},
)
tell("login: Swagger UI", swagger_ui)

# Being recognised.
token = swagger_ui.json()["access_token"]
bearer = lambda text: {"Authorization": text}
tell("me", session.get(url("/users/me"), headers=bearer(f"Bearer {token}")))
tell("me with a slash", session.get(url("/users/me/"), headers=bearer(f"bearer {token}")))
tell("me: no token", session.get(url("/users/me")))
tell("me: Basic", session.get(url("/users/me"), headers=bearer("Basic YTpi")))
tell("me: no such token", session.get(url("/users/me"), headers=bearer("Bearer a.b.c")))
tell("me: forged", session.get(url("/users/me"), headers=bearer(f"Bearer {token[:-6]}AAAAAA")))
tell("me: another method", session.post(url("/users/me"), headers=bearer(f"Bearer {token}")))
