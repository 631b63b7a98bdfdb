"""Owns which files the corpus has, and their bytes."""

import importlib
import json
import pathlib
import pkgutil

from . import cases, clients, jwks, policies, streams
from .world import AUDIENCE, ISSUER, NOW


def server_cases() -> list[dict]:
    """The cases of all modules of `cases`, in the order of their names."""
    modules = sorted(module.name for module in pkgutil.iter_modules(cases.__path__))
    return [case for name in modules for case in importlib.import_module(f"{cases.__name__}.{name}").cases()]


def refused_policies() -> list[dict]:
    """The sets that no policy may be made of."""
    return [{"name": f"policy: {name}", "why": why, "policy": name} for name, why in policies.REFUSED.items()]


def pretty(document) -> bytes:
    """JSON with one case in each line, so that a change is read as what it is."""

    def line(value) -> str:
        return json.dumps(value, ensure_ascii=False)

    if isinstance(document, dict):
        members = []
        for name, value in document.items():
            if isinstance(value, list):
                inner = ",\n".join("    " + line(item) for item in value)
                members.append(f"  {line(name)}: [\n{inner}\n  ]")
            else:
                members.append(f"  {line(name)}: {line(value)}")
        return ("{\n" + ",\n".join(members) + "\n}\n").encode()
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


def files() -> dict[pathlib.PurePosixPath, bytes]:
    """The bytes of each file, by its path in the folder of the corpus."""
    documents = {
        "keys.json": jwks.key_sets(),
        "server.json": {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "now": NOW,
            "refused_policies": refused_policies(),
            "cases": server_cases(),
        },
        "jwks.json": {"cases": jwks.cases()},
        "streams.json": {"issuer": ISSUER, "audience": AUDIENCE, "cases": streams.cases()},
        "clients.json": {"retry": clients.retries(), "renew": clients.renewals(), "attach": clients.attachments()},
    }
    made = {pathlib.PurePosixPath(name): pretty(document) for name, document in documents.items()}
    for name, encoded in policies.policies().items():
        made[pathlib.PurePosixPath("policies") / f"{name}.binpb"] = encoded
    return made
