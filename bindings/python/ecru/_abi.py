"""The C interface through cffi: `lib` has every function and constant of <ecru/ecru.h>, `ffi` their types.

The module lies in the shared object of ecru._native, so that both use one runtime; on import it takes this one's place.
"""

import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader

from ecru import _native

_spec = spec_from_loader(__name__, ExtensionFileLoader(__name__, _native.__file__))
assert _spec is not None
assert _spec.loader is not None
sys.modules[__name__] = module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[__name__])
