"""`python -m dojo.train`: the same as `dojo train`, so that torchrun can start it in several processes."""

import sys

from dojo.cli import dojo

if __name__ == "__main__":
    dojo.main(["train", *sys.argv[1:]], prog_name="dojo")
