"""What the scripts here share: the server that a test started for them, and its operator."""

import base64
import json
import os
import subprocess
import time

import requests

ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ["AUDIENCE"]
ALG = os.environ["ALG"]
TOKEN_URL = f"{ISSUER}/oauth2/token"
USERNAME, PASSWORD = os.environ["USERNAME"], os.environ["PASSWORD"]
PATIENCE_SECONDS = 60


def operate(*arguments):
    """What the operator's command answers, object by object."""
    # SIGNET_DATA_DIR says which server's data.
    done = subprocess.run([os.environ["SIGNET"], "--json", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def log_in():
    """The answer of the token endpoint to a password, as a client without any library asks for it."""
    answer = requests.post(TOKEN_URL, data={"grant_type": "password", "username": USERNAME, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return answer.json()


def kid(token):
    """The id of the key that signed a token."""
    header = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"]


def rotate(new_token):
    """Has the next key sign, and returns the first token of it that `new_token` brings."""
    before = kid(new_token())
    operate("keys", "rotate")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        token = new_token()
        if kid(token) != before:
            return token
    raise AssertionError("the new key does not sign")
