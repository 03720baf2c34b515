"""`python -m tag2mask` is the command `tag2mask`, where it is not installed."""

import sys

from tag2mask.cli import main

if __name__ == "__main__":
    sys.exit(main())
