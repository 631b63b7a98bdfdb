"""Owns the cases of `server.json`: each module states its cases, and what is expected of each, by hand."""
