"""The command line: ``python -m skembed``."""

import argparse
import sys

from skembed._version import __version__


def main(arguments=None):
    """Run a command; return the exit status.

    Parameters
    ----------
    arguments : list of str, default=None
        The arguments of the command line. None: those of this process.

    Returns
    -------
    status : int
        0 if the command succeeds, 2 if it fails.
    """
    parser = argparse.ArgumentParser(prog="python -m skembed", description="Tools of skembed.")
    parser.add_argument("--version", action="version", version=f"skembed {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    convert = commands.add_parser("convert", help="convert a published checkpoint to a folder")
    kinds = convert.add_subparsers(required=True, metavar="kind")
    panns = kinds.add_parser("panns", help="CNN14 of PANNs, from its .pth file")
    panns.add_argument("file", help="the checkpoint; only its tensors are read")
    panns.add_argument("folder", help="the new folder, to be passed as `model`")
    panns.set_defaults(run=_convert_panns)
    parsed = parser.parse_args(arguments)
    try:
        parsed.run(parsed)
    except (OSError, ValueError, ImportError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def _convert_panns(parsed):
    from skembed.audio._convert import convert_panns

    digest = convert_panns(parsed.file, parsed.folder)
    print(f"{parsed.folder}/model.safetensors, SHA-256 {digest}")  # noqa: T201
