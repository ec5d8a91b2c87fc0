"""Train a detector: `python train.py --config FILE [--resume] [key=value …]`, or by torchrun."""

import sys

from lmv3det.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
