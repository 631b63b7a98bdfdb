"""Owns the test that the generated code is what the protos of the repository give."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts/generated.py"


def test_the_generated_code_is_what_the_protos_give() -> None:
    told = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)  # noqa: S603
    assert (told.returncode, told.stderr) == (0, "")
