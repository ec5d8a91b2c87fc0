"""`lmv3det evaluate` as a file, because torchrun wants one."""

import sys

from lmv3det.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
