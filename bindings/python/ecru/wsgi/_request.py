"""The head of a request becomes the environment (PEP 3333)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes

from ecru.wsgi._limits import Refused

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD = bytes(set(range(32)) - set(b"\t\r\n")) + b"\x7f"  # no field and no request line has these
_NAMES_MOST = 1000


_variables: dict[str, str] = {}  # by field name as it came; "": to be dropped


def _variable(name: str) -> str:
    """The environment's name for a field's."""
    if not _TOKEN.fullmatch(name):
        raise Refused(400, f"malformed field name {name!r}")
    upper = name.upper().replace("-", "_")
    if "_" in name:
        variable = ""
    elif upper in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        variable = upper
    else:
        variable = f"HTTP_{upper}"
    if len(_variables) < _NAMES_MOST:
        _variables[name] = variable
    return variable


def _add_field(environ: dict[str, Any], variable: str, value: str) -> None:
    """A field that came before: a list, but for those that must not be one."""
    if variable in ("CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST", "HTTP_TRANSFER_ENCODING"):
        raise Refused(400, f"several {variable}")
    environ[variable] += ("; " if variable == "HTTP_COOKIE" else ",") + value


def _parse_fields(lines: list[str], environ: dict[str, Any]) -> None:
    for line in lines:
        name, colon, value = line.partition(":")
        variable = _variables.get(name)
        if variable is None:
            variable = _variable(name)
        if not colon:
            raise Refused(400, "a field without a colon")
        if variable in environ:
            _add_field(environ, variable, value.strip(" \t"))
        elif variable:
            environ[variable] = value.strip(" \t")


def _parse_target(target: str, environ: dict[str, Any]) -> None:
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        if path.lower().startswith(("http://", "https://")):
            environ["HTTP_HOST"], _, rest = path.partition("//")[2].partition("/")
            path = "/" + rest
        elif path != "*" or environ["REQUEST_METHOD"] != "OPTIONS":
            raise Refused(400, "malformed request target")
    environ["REQUEST_URI"] = environ["RAW_URI"] = target
    environ["PATH_INFO"] = unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query


def parse(head: bytes, environ: dict[str, Any], fields_most: int) -> None:
    """Puts a request's head, with its empty line, into the environment."""
    breaks = head.count(b"\r\n")
    if head.count(b"\r") != breaks or head.count(b"\n") != breaks or len(head.translate(None, _BAD)) != len(head):
        raise Refused(400, "control characters")
    lines = head[:-4].decode("latin-1").split("\r\n")
    parts = lines.pop(0).split(" ")
    if len(parts) != 3 or not _TOKEN.fullmatch(parts[0]):
        raise Refused(400, "malformed request line")
    if len(lines) > fields_most:
        raise Refused(431, "too many fields")
    environ["REQUEST_METHOD"], target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refused(505 if re.fullmatch(r"HTTP/\d\.\d", version) else 400, "unknown version")
    if environ["REQUEST_METHOD"] == "CONNECT":
        raise Refused(501, "no proxy")
    environ["SERVER_PROTOCOL"] = version
    _parse_fields(lines, environ)
    if version == "HTTP/1.1" and "HTTP_HOST" not in environ:
        raise Refused(400, "no host")
    _parse_target(target, environ)


def mount(environ: dict[str, Any], script_name: str) -> None:
    path = environ["PATH_INFO"]
    if path == script_name or path.startswith(f"{script_name}/"):
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = script_name, path[len(script_name) :]
