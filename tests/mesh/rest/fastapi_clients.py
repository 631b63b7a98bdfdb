"""Clients of a service as FastAPI's tutorial on security builds it. They were given another base URL, and nothing else."""

import os
import sys

import requests
from oauthlib.oauth2 import LegacyApplicationClient
from requests_oauthlib import OAuth2Session


class Client:
    """What an application wraps such a service in."""

    def __init__(self, base_url):
        self.base_url = base_url
        self.session = requests.Session()

    def sign_up(self, username, password):
        answer = self.session.post(f"{self.base_url}/auth/signup", json={"username": username, "password": password})
        answer.raise_for_status()
        return answer.json()

    def log_in(self, username, password):
        # An `OAuth2PasswordRequestForm`.
        answer = self.session.post(f"{self.base_url}/auth/token", data={"username": username, "password": password})
        answer.raise_for_status()
        token = answer.json()
        assert token["token_type"].lower() == "bearer"
        self.session.headers["Authorization"] = f"Bearer {token['access_token']}"
        return token

    def me(self):
        answer = self.session.get(f"{self.base_url}/users/me")
        answer.raise_for_status()
        return answer.json()


def refused(call, status):
    """The body of the refusal that `call` gets."""
    try:
        call()
    except requests.HTTPError as error:
        assert error.response.status_code == status, (error.response.status_code, error.response.text)
        assert error.response.headers["content-type"] == "application/json"
        return error.response.json()
    raise AssertionError("it was not refused")


base_url = sys.argv[1]
client = Client(base_url)
user = client.sign_up("alice", "correct horse")
assert user["username"] == "alice" and user["is_active"] is True and user["id"], user
assert not any("password" in member for member in user), user
token = client.log_in("alice", "correct horse")
assert isinstance(token["expires_in"], int), token
assert client.me() == user
print("requests:", user)

stranger = Client(base_url)
reason = refused(stranger.me, 401)["details"][0]["reason"]
assert reason == "TOKEN_MISSING", reason
reason = refused(lambda: stranger.sign_up("alice", "correct horse"), 409)["details"][0]["reason"]
assert reason == "USERNAME_TAKEN", reason
refusal = refused(lambda: stranger.log_in("alice", "wrong"), 400)
assert (refusal["error"], refusal["reason"]) == ("invalid_grant", "INVALID_CREDENTIALS"), refusal

# One of the tutorial itself, whose service has no sign-up and takes the form at /token; with all the fields that the page sends which
# FastAPI makes of a service.
form = {"grant_type": "password", "username": "alice", "password": "correct horse", "scope": "", "client_id": "", "client_secret": ""}
answer = requests.post(f"{base_url}/token", data=form)
answer.raise_for_status()
bearer = {"Authorization": f"{answer.json()['token_type']} {answer.json()['access_token']}"}
assert requests.get(f"{base_url}/users/me", headers=bearer).json()["username"] == "alice"
print("tutorial:", answer.json()["token_type"])

# And one that leaves the flow to a library. The tests speak plain HTTP on the loopback interface.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
session = OAuth2Session(client=LegacyApplicationClient(client_id=""))
session.fetch_token(f"{base_url}/auth/token", username="alice", password="correct horse")
assert session.get(f"{base_url}/users/me").json() == user
print("requests-oauthlib:", session.token["token_type"], session.token["scope"])
