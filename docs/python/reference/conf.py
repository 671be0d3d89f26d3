"""The API reference, made of the package's docstrings: the CTest case python.reference builds it."""

from importlib.util import find_spec

import ecru

project = "ecru"
version = release = ecru.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary"]
html_theme = "alabaster"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
nitpicky = False
autodoc_mock_imports = [name for name in ("gunicorn",) if find_spec(name) is None]


def escape(app, what, name, thing, options, lines):
    """The docstrings are plain text: a star is a star."""
    lines[:] = [line.replace("*", "\\*") for line in lines]


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape)
