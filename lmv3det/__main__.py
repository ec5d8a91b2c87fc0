"""`python -m lmv3det COMMAND …`, the same as the console script."""

import sys

from lmv3det.cli import main

if __name__ == "__main__":
    sys.exit(main())
