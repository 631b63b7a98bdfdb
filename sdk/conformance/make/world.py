"""Owns the constants that all cases share: who the issuer is, who calls, and what time it is."""

import uuid

ISSUER = "https://id.example"
AUDIENCE = "stock"
NOW = 1_800_000_000  # 2027-01-15T08:00:00Z
LIFETIME = 900
LEEWAY = 5
KEEP_FOR = 911


def identifier(name: str) -> str:
    """The UUID that stands for `name` in every case."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{ISSUER}/{name}"))


ALICE = identifier("users/alice")
BOB = identifier("users/bob")
SESSION = identifier("sessions/alice")
OTHER_SESSION = identifier("sessions/bob")
SHOP = identifier("clients/shop")
ROBOT = identifier("clients/robot")
TOKEN_ID = identifier("tokens/one")
BUILT_IN = "signet"
