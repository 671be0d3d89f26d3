"""Goroutines for Python: plain functions, run concurrently without a colour."""

from ecru import _abi as _abi
from ecru._home import excepthook, run
from ecru._native import version

__all__ = ["__version__", "excepthook", "run"]
__version__ = version()
