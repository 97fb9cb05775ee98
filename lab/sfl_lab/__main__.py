"""``python -m sfl_lab`` is ``sfl``."""

import sys

from sfl_lab.cli import main

if __name__ == "__main__":
    sys.argv[0] = "sfl"  # what a run's folder records can be pasted into a shell
    sys.exit(main())
