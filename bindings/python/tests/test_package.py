"""The package as a whole: what it exports, and that there is one runtime behind both of its modules."""

import ecru
from ecru import _abi, _native


def test_version_is_the_runtimes() -> None:
    assert ecru.__version__ == _native.version() == _abi.ffi.string(_abi.lib.ecru_version()).decode()


def test_processors_are_there() -> None:
    assert ecru._abi.lib.ecru_maxprocs() >= 1
