"""`python -m uncage_demo`: the command line."""

import sys

from uncage_demo.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
