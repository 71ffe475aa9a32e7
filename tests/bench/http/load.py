"""A load client with Python's own xmlrpc.client: calls one method over and over on a connection that is kept.

Its standard input is a socket. A task is one line: microseconds, URL, method, and its parameters. It is answered with
`ready`, started by `go`, and ended with `done COUNT NANOSECONDS SLOW` or `failed REASON`; one of a hundred calls took
longer than SLOW nanoseconds.
"""

import re
import socket
import time
import xmlrpc.client

control = socket.socket(fileno=0).makefile("rw")


def say(line):
    control.write(line + "\n")
    control.flush()


def shape(reply):
    return re.sub(r"\d+", "0", str(reply))


def load(micros, url, method, *parameters):
    call = getattr(xmlrpc.client.ServerProxy(url), method)
    expected = shape(call(*parameters))
    say("ready")
    if not control.readline():
        raise SystemExit
    times = []
    begin = now = time.perf_counter_ns()
    end = begin + 1000 * int(micros)
    while now < end:
        reply = call(*parameters)
        before, now = now, time.perf_counter_ns()
        times.append(now - before)
    if shape(reply) != expected:
        raise ValueError("a reply has another shape: " + str(reply)[:200])
    times.sort()
    say(f"done {len(times)} {now - begin} {times[len(times) * 99 // 100]}")


for line in control:
    try:
        load(*line.split())
    except Exception as error:
        say(f"failed {error!r}".replace("\n", " "))
