"""Counts the instructions of the commands that run most, with valgrind's callgrind, and holds them to benches/budgets.json.
The numbers depend on the program and not on what else the machine does; a TLS handshake has random parts, hence medians.

    python3 benches/instructions.py [--binary PATH] [--rounds N]
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import world

PORTS = (8443, 8444)


def count(command, env, folder):
    """The instructions of one run, which has to succeed."""
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]
    done = subprocess.run(valgrind, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"{command} failed with {done.returncode}:\n{done.stderr}")
    return int(found[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(world.ROOT / "target/release/equinix-wif"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    budgets = json.loads((world.HERE / "budgets.json").read_text())["instructions"]
    binary = Path(options.binary).resolve()
    print("| | instructions (median) | budget |\n|---|---|---|")
    exceeded = False
    for name, counted in counts(binary, options.rounds):
        budget = budgets.pop(name)
        print(f"| {name} | {counted / 1e6:.2f} M | {budget / 1e6:.2f} M |", flush=True)
        exceeded |= counted > budget
    if budgets:
        sys.exit(f"nothing was counted for {', '.join(budgets)}")
    sys.exit("a budget is exceeded" if exceeded else 0)


def counts(binary, rounds):
    """Names of cases and what they take."""
    for key in world.KEYS:
        with tempfile.TemporaryDirectory() as folder:
            world.make_certificates(folder, ["127.0.0.1"], key)
            job = world.Job(folder, "127.0.0.1", PORTS, binary)
            if key == "RSA":
                yield "`--version`", count([job.binary, "--version"], job.bare, folder)
                yield "`explain claim-aud`", count([job.binary, "explain", "claim-aud"], job.bare, folder)
            with world.served(folder, "127.0.0.1", PORTS):
                for platform, env in [("GitHub", job.github), ("GitLab", job.gitlab)]:
                    counted = [count(job.token(), env, folder) for _ in range(rounds)]
                    yield f"`token` on {platform}, {key} certificates", statistics.median(counted)


if __name__ == "__main__":
    main()
