#!/usr/bin/env python3
"""A worker in Python for a parent in Rust, which is examples/python.rs.

It speaks the full form of the protocol (docs/protocol.md) with JSON, and runs one call at a time. The methods of `Statistics`
are those of a service in Rust. An exception is the failure of its call.
"""

import json
import os
import statistics
import struct
import sys
import traceback

WORKER, SERIALISER = b"statistics", b"json"
MESSAGE, FAILED, READY, HELLO = 0, 1, 4, 15  # kinds of frames
HELLO_ID = 0xFF5942


class Statistics:
    def mean(self, numbers):
        return statistics.fmean(numbers)

    def quantiles(self, numbers, parts):
        return statistics.quantiles(numbers, n=parts)


def read_frame(link):
    """Returns the kind, the id and the payload of the next frame, or None at the end of input."""
    header = link.read(8)
    if not header:
        return None
    first, length = struct.unpack(">II", header)
    return first >> 28, first & 0xFFFFFFF, link.read(length)


def write_frame(link, kind, call, payload=b""):
    link.write(struct.pack(">II", kind << 28 | call, len(payload)) + payload)
    link.flush()


def pack(*strings):
    """Writes a list of byte strings, each behind its length in base 128."""
    packed = b""
    for string in strings:
        length = [len(string) & 0x7F]
        while rest := len(string) >> 7 * len(length):
            length.append(rest & 0x7F | 0x80)
        packed += bytes(reversed(length)) + string
    return packed


def unpack(packed):
    strings, at = [], 0
    while at < len(packed):
        length, more = 0, True
        while more:
            length, more = length << 7 | packed[at] & 0x7F, packed[at] & 0x80
            at += 1
        strings.append(packed[at : at + length])
        at += length
    return strings


def greet(source, sink):
    """Answers the parent's hello, or exits if the parent wants another worker."""
    kind, _, payload = read_frame(source) or sys.exit(0)
    if kind != HELLO or payload[:2] != b"P\x01":
        print("python_worker: no hello of version 1", file=sys.stderr)
        sys.exit(101)
    fields = unpack(payload[2:])
    wanted = dict(zip(fields[::2], fields[1::2]))
    own = [b"worker", WORKER, b"serialiser", SERIALISER, b"backend", b"blocking", b"pid", b"%d" % os.getpid()]
    fits = (wanted.get(b"worker"), wanted.get(b"serialiser")) == (WORKER, SERIALISER)
    if not fits:
        own += [b"error", b"this is the worker `statistics` with JSON"]
    write_frame(sink, HELLO, HELLO_ID, b"C\x01" + pack(*own))
    if not fits:
        sys.exit(101)
    write_frame(sink, READY, 0)


def answer(service, payload):
    """Runs a call. Returns the kind of the answer and its payload."""
    try:
        method, *arguments = json.loads(payload)
        result = getattr(service, method)(*arguments)
        return MESSAGE, json.dumps(result).encode()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return FAILED, pack(b"panic", text.encode(), b"", traceback.format_exc().encode())


def main():
    # The link is kept apart from what the methods print, which goes to stderr.
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    greet(source, sink)
    service = Statistics()
    while frame := read_frame(source):
        kind, call, payload = frame
        # Other frames can be ignored, such as a cancel: it comes behind its call, which is answered by now.
        if kind == MESSAGE:
            kind, payload = answer(service, payload)
            write_frame(sink, kind, call, payload)


if __name__ == "__main__":
    main()
