"""Says whether the generated code is what the protos give: `python scripts/generated.py`.

scripts/generate notes by --write, in scripts/generated.json, the SHA-256 of what it read and of what it made: to look needs no compiler.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
NOTED = HERE / "scripts/generated.json"
PROTOS = [
    ("proto/identity/v1", "*.proto"),
    ("proto/identity/events/v1", "*.proto"),
    ("examples/protected-service/proto/stock/v1", "*.proto"),
]
MADE = [("sdk/python/src/identity", "**/*"), ("sdk/python/example/stock", "**/*")]


def digests() -> dict[str, str]:
    """The SHA-256 of each proto and of each file that is made of them."""
    files = {path for folder, pattern in PROTOS + MADE for path in (ROOT / folder).glob(pattern) if path.is_file()}
    names = {path.relative_to(ROOT).as_posix(): path for path in files if "__pycache__" not in path.parts}
    return {name: hashlib.sha256(names[name].read_bytes()).hexdigest() for name in sorted(names)}


def main() -> str | None:
    """What is wrong, if anything is."""
    now = digests()
    if "--write" in sys.argv:
        NOTED.write_text(json.dumps(now, indent=2) + "\n")
        return None
    noted: dict[str, str] = json.loads(NOTED.read_text())
    differ = sorted(name for name in now.keys() | noted.keys() if now.get(name) != noted.get(name))
    return f"the generated code is not what the protos give: run sdk/python/scripts/generate ({', '.join(differ)})" if differ else None


if __name__ == "__main__":
    sys.exit(main())
