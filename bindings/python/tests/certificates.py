"""A certificate for localhost and its own authority: made by the openssl command, which every interpreter can call."""

import ssl
import subprocess
import tempfile
from functools import cache

MAKE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
EXTENSIONS = ["subjectAltName=DNS:localhost,IP:127.0.0.1", "keyUsage=critical,digitalSignature,keyCertSign"]


@cache
def key_and_certificate() -> str:
    """Both as PEM, the key first."""
    command = [*MAKE.split(), "-keyout", "-", "-out", "-", *(word for one in EXTENSIONS for word in ("-addext", one))]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def server_context(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(key_and_certificate())
        file.flush()
        context.load_cert_chain(file.name)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def client_context(*protocols: str) -> ssl.SSLContext:
    both = key_and_certificate()
    context = ssl.create_default_context(cadata=both[both.index("-----BEGIN CERTIFICATE") :])
    if protocols:
        context.set_alpn_protocols(protocols)
    return context
