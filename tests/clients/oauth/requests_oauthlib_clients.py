"""An application and a service by requests-oauthlib: the password grant, refreshing by itself, client credentials."""

import os
import time

from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError, LegacyApplicationClient
from requests_oauthlib import OAuth2Session
from surroundings import ISSUER, PASSWORD, TOKEN_URL, USERNAME, rotate

# The tests speak plain HTTP on the loopback interface.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
USERINFO_URL = f"{ISSUER}/oauth2/userinfo"

saved = []
user = OAuth2Session(
    client=LegacyApplicationClient(client_id="signet"),
    auto_refresh_url=TOKEN_URL,
    auto_refresh_kwargs={"client_id": "signet"},
    token_updater=saved.append,
)
token = user.fetch_token(TOKEN_URL, username=USERNAME, password=PASSWORD)
assert token["token_type"] == "Bearer" and token["scope"] == ["profile", "account"], token
me = user.get(USERINFO_URL)
assert me.status_code == 200 and me.json()["preferred_username"] == USERNAME, me.text

for _ in range(3):
    user.token = {**user.token, "expires_at": time.time() - 1}
    assert user.get(USERINFO_URL).json() == me.json()
assert len(saved) == 3 and len({token["refresh_token"] for token in saved}) == 3, "each refresh brought the next token"


def refreshed():
    user.token = user.refresh_token(TOKEN_URL, client_id="signet")
    return user.token["access_token"]


rotate(refreshed)
assert user.get(USERINFO_URL).json() == me.json()

try:
    user.fetch_token(TOKEN_URL, username=USERNAME, password="wrong")
except InvalidGrantError as error:
    assert error.description, "people are told why"
else:
    raise AssertionError("a wrong password was taken")

service = OAuth2Session(client=BackendApplicationClient(client_id=os.environ["CLIENT_ID"]))
token = service.fetch_token(TOKEN_URL, client_secret=os.environ["CLIENT_SECRET"])
assert "refresh_token" not in token, "a service has its secret to ask again with"
assert "introspect" in token["scope"], token
