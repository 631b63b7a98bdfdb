"""A client of connectrpc for Python: signs up, logs in, is recognised and is refused, by each codec."""

import json
import os

from connectrpc.client import ResponseMetadata
from connectrpc.codec import proto_binary_codec, proto_json_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from gen.google.rpc.error_details_pb import BadRequest, ErrorInfo
from gen.identity.v1.identity_service_connect import IdentityServiceClientSync
from gen.identity.v1.identity_service_pb import GetMeRequest, IssueTokenRequest, ListSessionsRequest, PasswordGrant, SignUpRequest
from protobuf import Oneof
from pyqwest import HTTPVersion, SyncClient, SyncHTTPTransport

URL, PASSWORD = os.environ["SIGNET_URL"], os.environ["PASSWORD"]
LOGINS = int(os.environ["LOGINS"])


def refusal(call, request):
    """How the call is refused, as the library reads it."""
    try:
        call(request)
    except ConnectError as error:
        info = next(filter(None, (detail.value(ErrorInfo) for detail in error.details if detail.type_name == "google.rpc.ErrorInfo")))
        bad = [detail.value(BadRequest) for detail in error.details if detail.type_name == "google.rpc.BadRequest"]
        fields = [f"{violation.field}: {violation.reason}" for one in bad for violation in one.field_violations]
        return {"code": error.code.value, "message": error.message, "reason": info.reason, "fields": fields}
    raise AssertionError("it was not refused")


def visit(name, codec, version):
    gzip = GzipCompression()
    http = SyncClient(SyncHTTPTransport(http_version=version))
    signet = IdentityServiceClientSync(URL, codec=codec, accept_compression=[gzip], send_compression=gzip, http_client=http)
    new = SignUpRequest(username=f"python-{name}", password=PASSWORD)
    user = signet.sign_up(new).user
    grant = PasswordGrant(username=new.username, password=PASSWORD)
    for _ in range(LOGINS):
        login = signet.issue_token(IssueTokenRequest(grant=Oneof("password", grant)), timeout_ms=10_000)
    headers = {"authorization": f"Bearer {login.access_token}"}
    me = signet.get_me(GetMeRequest(), headers=headers).user
    with ResponseMetadata() as answer:
        sessions = signet.list_sessions(ListSessionsRequest(), headers=headers).sessions
    return {
        "id": user.id,
        "recognised": me.id,
        "sessions": len(sessions),
        # Its HTTP client expands the answer by itself, and then tells neither how it was compressed nor how long it was.
        "compressed": "content-length" not in answer.headers,
        "taken": refusal(signet.sign_up, new),
        "bad": refusal(signet.sign_up, SignUpRequest(username="al ice", password="short")),
    }


visits = {
    "json": visit("json", proto_json_codec(), HTTPVersion.HTTP1),
    "proto": visit("proto", proto_binary_codec(), HTTPVersion.HTTP2),
}
print(json.dumps(visits))
