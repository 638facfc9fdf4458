"""`python -m deploy.local` is `make run`."""

import sys

from deploy.local.run import main

if __name__ == "__main__":
    sys.exit(main())
