"""Owns making the files of the conformance corpus; `generate` and `check` beside it run it."""
