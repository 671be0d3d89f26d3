"""ecru._abi: the whole public C interface, made from the headers."""

from pathlib import Path

import pytest

from ecru._abi import ffi, lib

BINDING = Path(__file__).resolve().parent.parent
EXPORTS = BINDING.parent.parent / "tests" / "abi" / "exports.txt"


def test_every_exported_function_is_there() -> None:
    exported = set(EXPORTS.read_text().split())
    of_libuv = {name for name in exported if name.startswith("ecru_uv_")}  # ecru/uv.h, which ecru/ecru.h leaves out
    assert exported - set(dir(lib)) == of_libuv


def test_status_codes_have_their_names() -> None:
    codes = [name for name in dir(lib) if name.startswith("ECRU_E")]
    assert len(codes) > 60
    for name in codes:
        assert ffi.string(lib.ecru_status_name(getattr(lib, name))).decode() == name


def test_constants_of_macros_are_there() -> None:
    assert lib.ECRU_MILLISECOND == 10**6
    assert lib.ECRU_FOREVER == 2**63 - 1
    assert not hasattr(lib, "ECRU_CHAN_OPTIONS")


def test_values_pass_through_a_channel() -> None:
    handle, value = ffi.new("ecru_chan **"), ffi.new("int64_t *", 42)
    assert lib.ecru_chan_create(handle, ffi.sizeof("int64_t"), 1) == 0
    chan = ffi.gc(handle[0], lib.ecru_chan_release)
    assert lib.ecru_chan_send(chan, value) == 0
    value[0] = 0
    assert lib.ecru_chan_recv(chan, value) == 0
    assert value[0] == 42
    assert lib.ecru_chan_close(chan) == 0
    assert lib.ecru_chan_recv(chan, value) == lib.ECRU_ECLOSED


@pytest.fixture
def header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ecru/ecru.h to be filled; the generator can be imported."""
    monkeypatch.syspath_prepend(BINDING)
    path = tmp_path / "ecru" / "ecru.h"
    path.parent.mkdir()
    return path


def test_declarations_come_from_own_headers_alone(header: Path) -> None:
    from generate_cdef import declarations

    header.with_name("part.h").write_text("typedef struct part part;\n")
    header.write_text(
        "#include <stdio.h>\n#include <ecru/part.h>\n"
        "#define ECRU_GUARD\n#define ECRU_FOUR (1u << 2)\n#define ECRU_INITIALISER {0, 0}\n#define ECRU_CALL(x) (x)\n"
        '#define ECRU_TEXT "4"\n__attribute__((format(printf, 1, 2))) int ecru_f(part *p);\n'
    )
    assert declarations("cc", header.parent.parent).split("\n") == [
        "#define ECRU_FOUR ...",
        "typedef struct part part;",
        " int ecru_f(part *p);",
        "",
    ]


def test_a_header_that_does_not_compile_is_an_error(header: Path) -> None:
    from generate_cdef import declarations

    header.write_text("#include <ecru/no_such_header.h>\n")
    with pytest.raises(RuntimeError, match="no_such_header"):
        declarations("cc", header.parent.parent)
