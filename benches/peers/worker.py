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
        calls = int(line)
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(calls):
            work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall_ms": wall * 1e3 / calls, "cpu_ms": cpu * 1e3 / calls}), flush=True)
    print(json.dumps({"idle_kib": idle_kib, "peak_kib": status_kib("VmHWM") - idle_kib}), flush=True)
