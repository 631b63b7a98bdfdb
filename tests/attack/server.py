"""Owns the server under attack: starts it in a directory of its own, watches its memory and its log, and stops it."""

import json
import os
import re
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from loopback import Address

# How long anything but the attack itself may take.
PATIENCE = 30.0

# What the server is told, and how long it may take to stop: what it was told, and 5 seconds for whatever hangs.
DRAIN_TIMEOUT = 5.0
STOPS_WITHIN = DRAIN_TIMEOUT + 5.0

# The memory that is allowed: the least that a container needs.
BUDGET_MIB = 256

_MASTER_KEY = "00" * 32


class Server:
    """The program, serving on free ports of 127.0.0.1 until `stop`. Tells nobody else its ports."""

    def __init__(
        self,
        program: Path,
        directory: Path,
        options: tuple[str, ...] = (),
        open_files: int | None = None,
        reads_log: bool = True,
        database: Address | None = None,
    ) -> None:
        self._program, self._directory = program, directory
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
        if database:
            self._environment |= {
                "SIGNET_DATABASE_URL": f"postgres://signet@{database.host}:{database.port}/postgres",
                "SIGNET_MASTER_KEY": _MASTER_KEY,
                "SIGNET_AUTO_MIGRATE": "on",
            }
        self._log_path, self._audit_path = directory / "log", directory / "audit.log"
        # If nobody is to read it, the log is a pipe whose other end is open until the server has ended.
        self._unread: tuple[int, ...] = ()
        if reads_log:
            log = os.open(self._log_path, os.O_WRONLY | os.O_CREAT, 0o600)
            # Otherwise it goes where the log does.
            options += ("--audit-log", str(self._audit_path))
        else:
            unread, log = os.pipe()
            self._unread = (unread, log)
        self._process = subprocess.Popen(
            [program, "--json", *self._flags(), *options],
            cwd=directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            preexec_fn=_with_open_files(open_files),
        )
        if reads_log:
            os.close(log)
        try:
            self._read_addresses()
        except BaseException:
            self.kill()
            raise

    def _flags(self) -> tuple[str, ...]:
        flags = (
            *("--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0"),
            *("--ext-authz", "on", "--ext-authz-addr", "127.0.0.1:0"),
            *("--operations-addr", "127.0.0.1:0"),
            *("--admin-addr", "127.0.0.1:0"),
            *("--memory-budget", f"{BUDGET_MIB}MiB"),
            *("--drain-timeout", f"{DRAIN_TIMEOUT:.0f}s"),
        )
        known = subprocess.run([self._program, "serve", "--help"], capture_output=True, text=True, check=True).stdout
        pairs = zip(flags[::2], flags[1::2], strict=True)
        return tuple(part for pair in pairs if pair[0] in known for part in pair)

    def _read_addresses(self) -> None:
        assert self._process.stdout
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise RuntimeError(f"the server did not start: {self.log()}")
        said = json.loads(line)
        names = {"grpc": "grpc_addr", "http": "http_addr", "authz": "ext_authz_addr", "operations": "operations_addr"}
        # Releases before 1.0 had metrics and probes at --http-addr alone.
        self.addresses = {name: Address.parse(said.get(key) or said["http_addr"]) for name, key in names.items()}

    def client(self, name: str) -> tuple[str, str]:
        """Registers a client, as the operator does. Returns its id and its secret."""
        told = json.loads(self.operate("clients", "create", name))
        return told["client"]["id"] if "client" in told else told["id"], told["secret"]

    def operate(self, *command: str, said: str = "") -> str:
        """Runs a command of the operator's, who says `said` to it. Returns what it answers, in JSON."""
        return subprocess.run(
            [self._program, "--json", *command],
            cwd=self._directory,
            env=self._environment,
            input=said,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        ).stdout

    # ===== what it costs =====

    def memory_mib(self) -> tuple[float, float]:
        """What it has now, and the most that it has had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        kib = dict(re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", status))
        return int(kib["VmRSS"]) / 1024, int(kib["VmHWM"]) / 1024

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_bytes(self) -> int:
        return self._log_path.stat().st_size if self._log_path.exists() else 0

    def audit(self) -> bytes:
        return self._audit_path.read_bytes() if self._audit_path.exists() else b""

    def log(self) -> str:
        return self._log_path.read_text() if self._log_path.exists() else ""

    def is_running(self) -> bool:
        return self._process.poll() is None

    # ===== its end =====

    def stop(self) -> float | None:
        """Asks it to stop. Returns how many seconds that took; none if it did not in twice the time that it has."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(2 * STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic() - began

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE)
        if self._process.stdout:
            self._process.stdout.close()
        for end in self._unread:
            os.close(end)
        self._unread = ()


def scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="signet-attack.")


def raise_open_files() -> None:
    """As many as this process may: each stranger is a file."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _with_open_files(count: int | None) -> Callable[[], None] | None:
    if count is None:
        return None
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
