"""`python -m minivl` is the same program as `minivl`."""

import sys


def main() -> None:
    """Run the program. Ctrl-C while it is still being imported ends it quietly, too."""
    try:
        from minivl.cli import main as program
    except KeyboardInterrupt:
        print("\nminivl: interrupted", file=sys.stderr)
        sys.exit(130)
    program()


if __name__ == "__main__":
    main()
