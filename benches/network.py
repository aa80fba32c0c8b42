"""Time, processor time, memory and connections of a job's way to a token, at no delay and at 40 ms, beside what people use
otherwise. Prints a table in Markdown, and fails when this program exceeds benches/budgets.json. Needs root for the delay,
and tests/foreign/differential/install.sh for the others.

    python3 benches/network.py [--rounds N] [--binary PATH] [--round-trips | --record]

With --record figures within the budgets are kept in benches/network.json, and docs/images/network.svg is drawn from them.

With --round-trips only this program's round trips and connections are counted and held to their budgets. That needs no
quiet machine: a delay of 200 ms is more than what else runs here costs, and the shortest of several runs counts.
"""

import argparse
import datetime
import json
import os
import platform
import random
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import chart
import link
import world

PORTS = (8441, 8442)
DELAY, LONG_DELAY = 0.040, 0.200


class Measured:
    def __init__(self, memory):
        self.seconds, self.processor, self.connections, self.memory = [], [], [], memory

    @property
    def median(self):
        return statistics.median(self.seconds)


def run(command, env, folder):
    """Runs a command; its wall time, and the processor time of it and what it ran, in seconds."""
    output = Path(folder, "stdout")
    with output.open("w") as stdout:
        started = time.monotonic()
        # Masks have to arrive somewhere; a pipe holds them until they are read.
        process = subprocess.Popen(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or world.TOKEN not in output.read_text():
        sys.exit(f"{command} failed with {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime


def memory(command, env, folder):
    """The largest memory of a command in MB. GNU time starts it, which is small: a child of this process would count with
    what Python has in memory."""
    usage = Path(folder, "usage")
    subprocess.run(["/usr/bin/time", "-f", "%M", "-o", str(usage), *command], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                   capture_output=True, check=True)
    return int(usage.read_text()) / 1000


def floor(folder, address):
    """The seconds that the four round trips take a process that is running already and has everything ready."""
    context = ssl.create_default_context(cafile=str(Path(folder, "ca.pem")))
    form = b"x" * 1500

    def connect(port):
        stream = socket.create_connection((address, port))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(stream, server_hostname=address)

    def ask(stream, head, body=b""):
        lines = [head + " HTTP/1.1", f"Host: {address}", f"Content-Length: {len(body)}", "", ""]
        stream.sendall("\r\n".join(lines).encode() + body)
        stream.recv(65536)

    second = []
    started = time.monotonic()
    thread = threading.Thread(target=lambda: second.append(connect(PORTS[1])))
    thread.start()
    first = connect(PORTS[0])
    ask(first, "GET /idtoken")
    thread.join()
    ask(second[0], "POST /use/token", form)
    elapsed = time.monotonic() - started
    first.close()
    second[0].close()
    return elapsed


def round_trip(address):
    """The seconds of one round trip: what a bare TCP connection takes."""
    started = time.monotonic()
    socket.create_connection((address, PORTS[0])).close()
    return time.monotonic() - started


def measure(folder, binary, rounds, address, connections):
    """Takes turns, in an order that changes. `connections` tells how many there have been so far, if anybody counts."""
    job = world.Job(folder, address, PORTS, binary)
    contenders = job.contenders()
    results = {name: Measured(memory(command, job.github, folder)) for name, command in contenders.items()}
    floors, trips = [], []
    for _ in range(rounds):
        trips.append(round_trip(address))
        floors.append(floor(folder, address))
        for name in random.sample(list(contenders), len(contenders)):
            before = connections()
            seconds, processor = run(contenders[name], job.github, folder)
            result = results[name]
            result.seconds.append(seconds)
            result.processor.append(processor)
            result.connections.append(connections() - before)
    return statistics.median(trips), statistics.median(floors), results


def figures(trip, lowest, results, counted):
    """What was measured, as it is told. Round trips and connections can be told where packets are delayed and counted."""
    told = {"floor_ms": round(lowest * 1000, 1), "programs": []}
    if counted:
        told["round_trip_ms"] = round(trip * 1000, 1)
    for name, result in results.items():
        row = {"name": name, "ms": round(result.median * 1000, 1), "times_the_floor": round(result.median / lowest, 2)}
        if counted:
            row["round_trips"] = round(result.median / trip, 1)
            row["connections"] = round(statistics.median(result.connections))
        row["processor_ms"] = round(statistics.median(result.processor) * 1000, 1)
        row["memory_mb"] = round(result.memory, 1)
        told["programs"].append(row)
    return told


def print_table(told):
    print(f"The floor, four round trips and the servers' work: {told['floor_ms']:.1f} ms.\n")
    heads = {"ms": "ms (median)", "times_the_floor": "times the floor", "processor_ms": "processor ms", "memory_mb": "MB"}
    names = list(told["programs"][0])[1:]
    print("| | " + " | ".join(heads.get(name, name.replace("_", " ")) for name in names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for row in told["programs"]:
        print(f"| {row['name']} | " + " | ".join(chart.shown(name, row[name]) for name in names) + " |")
    print()


def machine():
    """What this was measured on: the model of the processor, its cores, the system."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    release = platform.freedesktop_os_release()
    return f"{model}, {os.cpu_count()} cores, {release['NAME'].split()[0]} {release['VERSION_ID']}"


def record(rounds, loopback, delayed):
    """Keeps the figures, and draws them."""
    told = {"date": datetime.date.today().isoformat(), "machine": machine(), "rounds": rounds,
            "delay_ms": round(DELAY * 1000), "loopback": loopback, "delayed": delayed}
    chart.FIGURES.write_text(json.dumps(told, indent=2) + "\n")
    chart.CHART.write_text(chart.draw(told))


def exceeded(result, lowest=None):
    """The budgets that a program's results exceed, in words. The floor is that of the same rounds."""
    budgets = world.budgets()
    found = {"processor_ms": statistics.median(result.processor) * 1000, "memory_mb": result.memory}
    if lowest is not None:
        found["times_the_floor"] = result.median / lowest
        found["connections"] = statistics.median(result.connections)
    return [f"{name}: {value:.2f}, at most {budgets[name]}" for name, value in found.items() if value > budgets[name]]


def round_trips(folder, binary, rounds, address, connections):
    """Holds the round trips and connections of this program to their budgets."""
    budgets = world.budgets()
    job = world.Job(folder, address, PORTS, binary)
    trips, seconds, opened = [], [], []
    for _ in range(rounds):
        trips.append(round_trip(address))
        before = connections()
        seconds.append(run(job.token(), job.github, folder)[0])
        opened.append(connections() - before)
    found = {"round_trips": round(min(seconds) / min(trips)), "connections": max(opened)}
    for name, count in found.items():
        print(f"{name.replace('_', ' ')}: {count} (limit {budgets[name]})")
    return [name for name, count in found.items() if count > budgets[name]]


def has_delay():
    """Whether packets can be delayed here; says so if not."""
    if os.geteuid() == 0 and os.path.exists("/dev/net/tun"):
        return True
    print("SKIPPED: a delay needs root and /dev/net/tun")
    return False


def delayed(folder, delay, act):
    """Does something with an address behind a delay and a count of connections."""
    inside = ["ip", "netns", "exec", link.SERVER]
    with link.Link(delay / 2) as wire, world.served(folder, link.SERVER_ADDRESS, PORTS, inside):
        # From here on this process, and all that it starts, is on the other end.
        descriptor = os.open(f"/run/netns/{link.CLIENT}", os.O_RDONLY)
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        link.enter(descriptor)
        try:
            return act(link.SERVER_ADDRESS, lambda: wire.connections.value)
        finally:
            link.enter(home)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--binary", default=str(world.ROOT / "target/release/equinix-wif"))
    parser.add_argument("--round-trips", action="store_true")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    binary = Path(options.binary).resolve()
    with tempfile.TemporaryDirectory() as folder:
        world.make_certificates(folder, ["127.0.0.1", link.SERVER_ADDRESS])
        if options.round_trips:
            count = lambda *there: round_trips(folder, binary, options.rounds or 3, *there)
            failures = has_delay() and delayed(folder, LONG_DELAY, count)
        else:
            failures = compare(folder, binary, options.rounds or 20, options.record)
    sys.exit("budgets are exceeded: " + "; ".join(failures) if failures else 0)


def compare(folder, binary, rounds, is_recorded):
    """Measures all programs without and with delay; the budgets that this one exceeds, in words."""
    print("Without delay, on loopback:\n")
    with world.served(folder, "127.0.0.1", PORTS):
        trip, lowest, results = measure(folder, binary, rounds, "127.0.0.1", lambda: 0)
    loopback = figures(trip, lowest, results, counted=False)
    print_table(loopback)
    failures = exceeded(next(iter(results.values())))
    if has_delay():
        print(f"With {DELAY * 1000:.0f} ms of delay there and back on every packet:\n")
        trip, lowest, results = delayed(folder, DELAY, lambda *there: measure(folder, binary, rounds, *there))
        told = figures(trip, lowest, results, counted=True)
        print_table(told)
        failures += exceeded(next(iter(results.values())), lowest)
        if is_recorded and not failures:
            record(rounds, loopback, told)
    return failures


if __name__ == "__main__":
    main()
