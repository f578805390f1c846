"""What every program here needs: the broker's address, a deadline, and a sentence when something is wrong."""

import os
import sys
import threading


class Wrong(AssertionError):
    """What the broker did is not what it should have done."""


def expect(found, wanted, what):
    """Ends the program, or the check, where something is not as it should be."""
    if found != wanted:
        raise Wrong(f"{what}: expected {wanted!r}, got {found!r}")


def broker_uri():
    """The broker's address: the first argument, else AMQP_URI."""
    uri = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("AMQP_URI")
    if not uri:
        sys.exit(f"usage: {sys.argv[0]} amqp://user:password@host:port/%2F")
    return uri


def must_end(within_seconds):
    """Ends the process after so long, whatever it waits for."""

    def end():
        print(f"{sys.argv[0]}: not done after {within_seconds} s", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(within_seconds, end)
    timer.daemon = True
    timer.start()


def _say(kind, value, traceback):
    if issubclass(kind, Wrong):
        print(f"{sys.argv[0]}: {value}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, value, traceback)
    sys.stderr.flush()


sys.excepthook = _say
