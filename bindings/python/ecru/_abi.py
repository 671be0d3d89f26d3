"""The C interface through cffi: `lib` has every function and constant of <ecru/ecru.h>, `ffi` their types.

The module lies in the shared object of ecru._native, so that both use one runtime; on import it takes this one's place.
Where there is no such module (ecru._threads) it is a shared object itself, which is found before this file.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

_finder = FileFinder(str(Path(__file__).parent), (ExtensionFileLoader, EXTENSION_SUFFIXES))
_found = _finder.find_spec("_native")
assert _found is not None
assert _found.origin is not None
_spec = spec_from_loader(__name__, ExtensionFileLoader(__name__, _found.origin))
assert _spec is not None
assert _spec.loader is not None
sys.modules[__name__] = module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[__name__])
