"""An application and a service by Authlib: discovery, every way to authenticate a client, introspection, revocation."""

import os

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from surroundings import ALG, AUDIENCE, ISSUER, PASSWORD, USERNAME, rotate

metadata = requests.get(f"{ISSUER}/.well-known/oauth-authorization-server").json()
# Without an authorization endpoint there are no response types, and Authlib takes an empty list for a missing one.
assert metadata["response_types_supported"] == []
AuthorizationServerMetadata({**metadata, "response_types_supported": ["none"]}).validate()
assert metadata["issuer"] == ISSUER
token_url, introspection_url = metadata["token_endpoint"], metadata["introspection_endpoint"]
revocation_url = metadata["revocation_endpoint"]


def service(method):
    return OAuth2Session(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"], token_endpoint_auth_method=method)


def claims_of(token):
    # The set is fetched each time: what is looked at here is the form of the keys and tokens.
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"]).json())
    decoded = jwt.decode(token, keys, algorithms=[ALG])
    jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}, exp={"essential": True}
    ).validate(decoded.claims)
    return decoded.claims


with open(os.environ["KEY_FILE"], encoding="ascii") as file:
    key = ECKey.import_key(file.read())
signed = OAuth2Session(os.environ["KEY_CLIENT_ID"], key, token_endpoint_auth_method="private_key_jwt")
signed.register_client_auth_method(PrivateKeyJWT(token_url, alg="ES256"))
for session in [service("client_secret_basic"), service("client_secret_post"), signed]:
    method = session.token_endpoint_auth_method
    assert method in metadata["token_endpoint_auth_methods_supported"], method
    token = session.fetch_token(token_url, grant_type="client_credentials", scope="introspect")
    claims = claims_of(token["access_token"])
    assert claims["sub"] == claims["client_id"] == session.client_id, (method, claims)

user = OAuth2Session("signet", token_endpoint_auth_method="none")
token = user.fetch_token(token_url, username=USERNAME, password=PASSWORD)
subject = claims_of(token["access_token"])["sub"]

service = service("client_secret_basic")
for hint in ["access_token", "refresh_token"]:
    told = service.introspect_token(introspection_url, token=token[hint], token_type_hint=hint).json()
    assert told["active"] is True and told["sub"] == subject, told

new = rotate(lambda: user.refresh_token(token_url)["access_token"])
assert claims_of(new)["sub"] == subject and claims_of(token["access_token"])["sub"] == subject

refresh_token = user.token["refresh_token"]
gone = user.revoke_token(revocation_url, token=refresh_token, token_type_hint="refresh_token")
assert gone.status_code == 200, gone.text
for hint, text in [("access_token", new), ("refresh_token", refresh_token)]:
    told = service.introspect_token(introspection_url, token=text, token_type_hint=hint).json()
    assert told == {"active": False}, "nothing is told of what is over"
