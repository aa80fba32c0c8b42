"""Counts the instructions of the commands that run most, with valgrind's callgrind, and compares them with those that are
recorded in benches/budgets.json: a change may add a tenth. One that adds more for a good reason records its own count and
says the reason. The numbers depend on the program and not on what else the machine does; a TLS handshake has random parts,
hence medians.

    python3 benches/instructions.py [--binary PATH] [--rounds N]
"""

import argparse
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
    budgets = world.budgets()["instructions"]
    recorded = dict(budgets["recorded"])
    binary = Path(options.binary).resolve()
    print("| | instructions (median) | recorded |\n|---|---|---|")
    exceeded = False
    for name, counted in counts(binary, options.rounds):
        before = recorded.pop(name)
        print(f"| {name} | {counted / 1e6:.2f} M | {before / 1e6:.2f} M |", flush=True)
        exceeded |= counted > before * budgets["growth"]
    if recorded:
        sys.exit(f"nothing was counted for {', '.join(recorded)}")
    sys.exit("the instructions have grown by more than is allowed without a reason" if exceeded else 0)


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
