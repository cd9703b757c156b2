#!/usr/bin/env python3
"""A parent in Python that calls a worker in Rust: the service `Notes` of "Python at either end" in docs/cookbook.md.

    python3 examples/python_parent.py PROGRAM [ARGUMENT ...]

PROGRAM is the worker; its `main` is `NOTES.serve()`. This is the plain form of the protocol (docs/protocol.md) with JSON: a
frame is a number, a length, and the payload. An answer has the number of its call, and an event has the number 0. A call that
fails has no answer: the worker says why on stderr, and exits with status 101.
"""

import json
import struct
import subprocess
import sys


class Child:
    """A worker's process. Makes one call at a time, and gives each event to `on_event`."""

    def __init__(self, command, on_event):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.on_event = on_event
        self.last = 0

    def call(self, method, *arguments):
        """Calls a method, and returns its result."""
        self.last += 1
        payload = json.dumps([method, *arguments]).encode()
        self.process.stdin.write(struct.pack(">II", self.last, len(payload)) + payload)
        self.process.stdin.flush()
        while header := self.process.stdout.read(8):
            number, length = struct.unpack(">II", header)
            value = json.loads(self.process.stdout.read(length))
            if number == self.last:
                return value
            self.on_event(value)
        raise ChildProcessError(f"the worker ended during {method}")

    def close(self):
        """Ends the worker's input, so that it exits, and returns its status."""
        self.process.stdin.close()
        return self.process.wait()


def main():
    events = []
    notes = Child(sys.argv[1:], events.append)
    print(notes.call("add", "one", 2))
    print(notes.call("add", "two", 1))
    print(notes.call("find", "t"))
    print(notes.call("find", None))
    notes.call("clear")  # returns an empty list, as each method without a result
    print("events:", events)
    try:
        notes.call("none")
    except ChildProcessError as error:
        print(error)
    print("status:", notes.close())


if __name__ == "__main__":
    main()
