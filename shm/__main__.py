"""python -m shm."""

import sys

from shm.cli import main

if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # a file name that the terminal cannot show is no reason to stop
    sys.exit(main())
