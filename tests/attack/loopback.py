"""Owns every connection that is opened here: to this machine and nowhere else."""

import ipaddress
import socket
import ssl
from dataclasses import dataclass

# Lets a port be chosen when the other end is known, so that one port serves many connections (Linux).
_BIND_ADDRESS_NO_PORT = 24

STRANGER = "127.0.0.1"
HONEST = "127.0.0.2"

# The addresses of a flood that comes from many.
MANY = tuple(f"127.0.1.{last}" for last in range(1, 201))


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __post_init__(self) -> None:
        if not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError(f"{self.host} is not this machine: only the server that was started here is attacked")

    @classmethod
    def parse(cls, text: str) -> "Address":
        host, port = text.rsplit(":", 1)
        return cls(host.strip("[]"), int(port))


def unconnected(source: str) -> socket.socket:
    """A socket that will connect from `source`."""
    made = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
    made.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.bind((Address(source, 0).host, 0))
    return made


def connected(to: Address, source: str, seconds: float, tls: bool = False) -> socket.socket:
    """A connection that is there within `seconds`; with `tls`, whatever certificate the server shows."""
    made = unconnected(source)
    try:
        made.settimeout(seconds)
        made.connect((to.host, to.port))
        if not tls:
            return made
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(made)
    except BaseException:
        made.close()
        raise
