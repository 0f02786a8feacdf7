"""`python -m thermojax`, the same as the command `thermojax`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
