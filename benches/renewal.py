"""Measures a run of `exec --renew` between the sandbox's servers: how long a token that is at hand takes to get, how much
memory the parent needs, and what it does while nobody asks.

    python3 benches/renewal.py [--binary PATH] [--requests N] [--idle SECONDS]

Times differ between machines; the limits are those of benches/budgets.json, with room for a slow one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import world

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def ask(body, address):
    """One request on a connection of its own, as the listener has it. Returns its time in milliseconds."""
    start = time.perf_counter()
    connection = HTTPConnection(address)
    connection.request("POST", "/use/token", body, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    token = json.loads(answer.read())
    took = (time.perf_counter() - start) * 1000
    if answer.status != 200 or not token["access_token"]:
        sys.exit(f"status {answer.status}: {token}")
    return took


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


def switches(pid):
    """How often the process has been woken."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    lines = [line for task in tasks for line in (task / "status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def peak(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def command(requests, idle):
    """What runs inside: the client."""
    parent = os.getppid()
    body = urlencode({
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "scope": os.environ["EQUINIX_TOKEN_EXCHANGE_SCOPE"],
        "subject_token": os.environ["EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN"],
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    })
    address = urlsplit(os.environ["EQUINIX_STS_ENDPOINT"]).netloc
    start = peak(parent)
    times = sorted(ask(body, address) for _ in range(requests))
    memory = peak(parent)
    busy, woken = processor_seconds(parent), switches(parent)
    time.sleep(idle)
    print(json.dumps({
        "p50": statistics.median(times), "p99": times[int(len(times) * 0.99)], "slowest": times[-1], "start": start, "memory": memory,
        "idle_processor_ms": (processor_seconds(parent) - busy) * 1000, "idle_wakes": switches(parent) - woken,
    }))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(world.ROOT / "target/release/equinix-wif"))
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--idle", type=float, default=30)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return command(options.requests, options.idle)
    binary = str(Path(options.binary).resolve())
    inside = [sys.executable, __file__, "--inside", "--requests", str(options.requests), "--idle", str(options.idle)]
    done = subprocess.run(
        [binary, "sandbox", "--", binary, "exec", "--renew", "--", *inside],
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )
    if done.returncode:
        sys.exit(f"it failed with {done.returncode}:\n{done.stderr}")
    found = json.loads(done.stdout)
    limits = world.budgets()["renewal"]
    print("| | measured | goal |\n|---|---|---|")
    print(f"| a token at hand, median | {found['p50']:.2f} ms | |")
    print(f"| a token at hand, 99 of 100 | {found['p99']:.2f} ms | {limits['p99_ms']} ms |")
    print(f"| the slowest | {found['slowest']:.2f} ms | |")
    print(f"| memory of the parent, before | {found['start']:.1f} MB | |")
    print(f"| memory of the parent, after | {found['memory']:.1f} MB | {limits['memory_mb']} MB |")
    print(f"| processor while idle | {found['idle_processor_ms']:.0f} ms in {options.idle:.0f} s | 0 |")
    print(f"| woken while idle | {found['idle_wakes']} times in {options.idle:.0f} s | |")
    exceeded = found["p99"] > limits["p99_ms"] or found["memory"] > limits["memory_mb"] or found["idle_processor_ms"] > 10
    sys.exit("more than the goal" if exceeded else 0)


if __name__ == "__main__":
    main()
