"""The waiting loop of a peer: the same protocol as the example `step_time` of the library.

A peer warms up with three calls and prints their values as one line of JSON. Each line on standard
input then holds a number of calls and is answered with the time that they took. At the end of input
comes the peak memory above the idle process, imports included in the idle part.
"""

import json
import sys
import time

WARM_UP = 3


def status_kib(key):
    """A line of /proc/self/status."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


def reset_peak_kib():
    """Sets the peak back to what is resident now, and returns that."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass
    return status_kib("VmRSS")


def serve(engine, idle_kib, work):
    """Warms up, then answers lines with times until the input ends."""
    print(json.dumps({"engine": engine, "values": [work() for _ in range(WARM_UP)]}), flush=True)
    for line in sys.stdin:
        answer(work, int(line))
    print(json.dumps({"idle_kib": idle_kib, "peak_kib": status_kib("VmHWM") - idle_kib}), flush=True)


def serve_by_name(engine, idle_kib, works, wait, about, at_end):
    """As `serve` for several works, each of which the lines name before the number of calls.

    `wait` returns when the device has done everything; `about` joins the first line of the answers and
    the result of `at_end` the last one.
    """
    first = {"engine": engine} | about
    for name, work in works.items():
        begin = time.perf_counter()
        values = [work() for _ in range(WARM_UP)]
        wait()
        first[name] = {"values": values, "warm_up_ms": (time.perf_counter() - begin) * 1e3}
    print(json.dumps(first), flush=True)
    for line in sys.stdin:
        name, calls = line.split()
        answer(works[name], int(calls), wait)
    last = {"idle_kib": idle_kib, "peak_kib": status_kib("VmHWM") - idle_kib}
    print(json.dumps(last | at_end()), flush=True)


def answer(work, calls, wait=lambda: None):
    """Prints the time of a number of calls."""
    wait()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        work()
    wait()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall_ms": wall * 1e3 / calls, "cpu_ms": cpu * 1e3 / calls}), flush=True)
