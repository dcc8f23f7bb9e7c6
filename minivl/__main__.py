"""`python -m minivl` is the same program as `minivl`."""

from minivl.cli import main

main()
