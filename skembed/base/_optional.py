"""Import optional dependencies, with an error that says how to install them.

Imports only `exceptions`.
"""

import importlib
import importlib.util
import sys
from functools import cache
from importlib import metadata

from skembed.exceptions import MissingDependencyError


def import_optional(module, *, extra, purpose, hint=""):
    """Import a module, or raise an error that names the extra of skembed that installs it.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str
        The extra of skembed that installs it.
    purpose : str
        What needs the module, as the subject of a sentence: ``"backend='torch'"``.
    hint : str, default=""
        Another remedy, as a sentence.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingDependencyError
        If the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(_message(module, extra, purpose, hint, error)) from error


def require_optional(module, *, extra, purpose, hint=""):
    """Raise the error of `import_optional` if a module is not installed, without importing it."""
    try:
        missing = module not in sys.modules and importlib.util.find_spec(module) is None
    except ImportError:
        missing = True
    if missing or sys.modules.get(module, module) is None:
        reason = f"No module named {module!r}"
        raise MissingDependencyError(_message(module, extra, purpose, hint, reason))


def _message(module, extra, purpose, hint, reason):
    return (
        f"{purpose} needs {module.partition('.')[0]}, which cannot be imported ({reason}). "
        f"Install it with: pip install 'skembed[{extra}]'{hint and '. '}{hint}"
    )


@cache
def exporter_versions():
    """Return the versions of the libraries that export graphs; "" for those not installed."""
    versions = {}
    for name in ("torch", "transformers", "onnxscript"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ""
    return versions
