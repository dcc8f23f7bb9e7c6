"""Errors as a user sees them: one line, or a few, that say what is wrong, where, and what to do.

`minivl --debug COMMAND`, or MINIVL_DEBUG=1, shows where in the code they come from.
"""

import os
import sys
import warnings
from collections.abc import Callable

INTERRUPTED = 130  # the exit status of a program that Ctrl-C has ended, as shells have it


def run(program: Callable[[], object]) -> int:
    """Run a program and return its exit status; whatever it raises is told without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # names of files need not be text that this terminal can write
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = lambda message, *_, **__: f"minivl: {printable(str(message))}\n"  # no line of code
    try:
        program()
    except (KeyboardInterrupt, SystemExit) as error:
        status = INTERRUPTED if isinstance(error, KeyboardInterrupt) else error.code
        if status == INTERRUPTED:  # typer makes a SystemExit of most interrupts
            print("\nminivl: interrupted; what was finished is kept, and the same command goes on", file=sys.stderr)
        return status if isinstance(status, int) else 0
    except Exception as error:
        if os.environ.get("MINIVL_DEBUG"):
            raise
        print(f"minivl: {told(error)}", file=sys.stderr)
        return 1
    return 0


def told(error: Exception) -> str:
    """The text of an error. The system's own lack what to do, and unforeseen ones lack what they are."""
    if isinstance(error, OSError) and error.filename:
        place = printable(os.fsdecode(error.filename))
        return f"{error.strerror}: {place} (is the place right, writable, and on a disk with free space?)"
    if isinstance(error, MemoryError):
        return "not enough memory: use a smaller batch_size, fewer frames, or a smaller model or file"
    text = printable(str(error))
    if text and isinstance(error, (ValueError, RuntimeError, OSError)) and not isinstance(error, UnicodeError):
        return text
    hint = "This was not foreseen: please report it, with what `minivl --debug COMMAND` shows."
    return f"{type(error).__name__}: {text}\n{hint}"


def printable(text: str) -> str:
    """Text in which whatever would steer a terminal, or cannot be written to it, stands as an escape such as \\x1b."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
