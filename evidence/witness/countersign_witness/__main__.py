"""`python -m countersign_witness` is the command countersign-witness."""

import sys

from countersign_witness.cli import main

sys.exit(main())
