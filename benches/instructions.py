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
    with tempfile.TemporaryDirectory() as folder:
        world.make_certificates(folder, ["127.0.0.1"])
        with world.served(folder, "127.0.0.1", PORTS):
            job = world.Job(folder, "127.0.0.1", PORTS, Path(options.binary).resolve())
            cases = {
                "--version": ([job.binary, "--version"], job.bare, 1),
                "explain": ([job.binary, "explain", "claim-aud"], job.bare, 1),
                "token on GitHub": (job.token(), job.github, options.rounds),
                "token on GitLab": (job.token(), job.gitlab, options.rounds),
            }
            assert cases.keys() == budgets.keys(), "each case has a budget, and each budget a case"
            print("| | instructions (median) | budget |\n|---|---|---|")
            exceeded = False
            for name, (command, env, rounds) in cases.items():
                counted = statistics.median(count(command, env, folder) for _ in range(rounds))
                print(f"| `{name}` | {counted / 1e6:.2f} M | {budgets[name] / 1e6:.2f} M |")
                exceeded |= counted > budgets[name]
    sys.exit("a budget is exceeded" if exceeded else 0)


if __name__ == "__main__":
    main()
