"""Runs the verifier as `python -m countersign_verify`."""

import sys

from countersign_verify.cli import main

if __name__ == "__main__":
    sys.exit(main())
