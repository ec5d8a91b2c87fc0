"""`lmv3det predict` as a file."""

import sys

from lmv3det.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
