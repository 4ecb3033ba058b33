"""``python -m skembed``."""

import sys

from skembed.cli._main import main

if __name__ == "__main__":
    sys.exit(main())
