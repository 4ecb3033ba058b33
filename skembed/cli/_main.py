"""The command line: ``python -m skembed``."""

import argparse
import sys

from skembed._version import __version__


def main(arguments=None):
    """Run a command; return the exit status.

    Parameters
    ----------
    arguments : list of str, default=None
        As on the command line. None: those of this process.

    Returns
    -------
    status : int
        0; 2 if the command could not be carried out.
    """
    parser = argparse.ArgumentParser(prog="python -m skembed", description="skembed's tools.")
    parser.add_argument("--version", action="version", version=f"skembed {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    convert = commands.add_parser("convert", help="turn a published checkpoint into a folder")
    kinds = convert.add_subparsers(required=True, metavar="kind")
    panns = kinds.add_parser("panns", help="CNN14 of PANNs, from its .pth file")
    panns.add_argument("file", help="the checkpoint; only tensors are read from it")
    panns.add_argument("folder", help="the new folder, to be given as `model`")
    panns.set_defaults(run=_convert_panns)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (OSError, ValueError, ImportError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _convert_panns(given):
    from skembed.audio._convert import convert_panns

    digest = convert_panns(given.file, given.folder)
    print(f"{given.folder}/model.safetensors, SHA-256 {digest}")  # noqa: T201
