"""The action's own cost, which is everything but the two exchanges: both steps of action.yml, with the program fetched from a
server on this machine, compared, unpacked and started; then the same from the runner's tool cache. Beside it the start of a
JavaScript action, bundled as such actions are: it reads its inputs, masks and hands over a value, and does nothing else. The
goal is a third of that; unpacking alone takes more.

    tests/foreign/differential/install.sh
    python3 benches/action.py [--rounds N] [--binary PATH]
"""

import argparse
import hashlib
import http.server
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import world

VERSION = "1.2.3"
TARGET = "x86_64-unknown-linux-musl"
NAME = f"equinix-wif-{VERSION}-{TARGET}"


def commands():
    """The scripts of the two steps, as they stand in action.yml."""
    return re.findall(r"^      run: \|\n((?:        .*\n)+)", (world.ROOT / "action.yml").read_text(), re.MULTILINE)


def timed(command, env):
    """Runs a command; its wall time and the processor time of it and what it ran, in seconds, and how it ended."""
    usage, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    elapsed, now = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime, done


def step(script, env):
    """Runs the script of a step as the runner does, out of a file."""
    file = Path(env["RUNNER_TEMP"], "step.sh")
    file.write_text(script)
    return timed(["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(file)], env)


class Action:
    """The action in a commit that is a release, whose archive a server here has."""

    def __init__(self, folder, binary):
        self.folder = Path(folder)
        packed = self.folder / "served" / f"v{VERSION}" / f"{NAME}.tar.gz"
        packed.parent.mkdir(parents=True)
        with tarfile.open(packed, "w:gz") as tar:
            tar.add(binary, f"{NAME}/equinix-wif")
        self.digest = hashlib.sha256(packed.read_bytes()).hexdigest()
        self.size = packed.stat().st_size

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args):
                super().__init__(*args, directory=str(packed.parent.parent))

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"

    def run(self, tools):
        """Both steps, with this folder as the tool cache. The program ends where it would ask for an ID token: there is no
        permission here."""
        with tempfile.TemporaryDirectory(dir=self.folder) as temp:
            output = Path(temp, "output")
            output.write_text("")
            env = {"PATH": os.environ["PATH"], "HOME": temp, "GITHUB_ACTION_PATH": str(world.ROOT), "GITHUB_OUTPUT": str(output),
                   "RUNNER_TEMP": temp, "RUNNER_TOOL_CACHE": str(tools), "RUNNER_OS": "Linux", "RUNNER_ARCH": "X64",
                   "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "RELEASE_VERSION": VERSION,
                   "RELEASE_DIGESTS": f"{self.digest}  {NAME}.tar.gz\n", "WITH_MIRROR_URL": self.url,
                   "WITH_AUDIENCE": "my-equinix-audience", "WITH_SCOPE": "roleassignments:x"}
            provide, exchange = commands()
            *first, done = step(provide, env)
            found = re.search(r"^path=(.*)$", output.read_text(), re.MULTILINE)
            if done.returncode or not found:
                sys.exit(f"the first step failed with {done.returncode}:\n{done.stderr}")
            *second, done = step(exchange, {**env, "BINARY": found[1]})
            if "error[gh-id-token-permission]" not in done.stderr:
                sys.exit(f"the second step ended otherwise than for want of a permission:\n{done.stderr}")
            return [sum(both) for both in zip(first, second)]


def bundled(folder):
    """The JavaScript action in one file."""
    to = Path(folder, "dist.cjs")
    esbuild = world.PEERS / "node_modules/.bin/esbuild"
    if not esbuild.exists():
        sys.exit("nothing to compare with: run tests/foreign/differential/install.sh")
    subprocess.run([esbuild, "action.mjs", "--bundle", "--minify", "--platform=node", "--log-level=error", f"--outfile={to}"],
                   cwd=world.PEERS, check=True)
    return to


def javascript(file, folder):
    output = Path(folder, "javascript")
    output.write_text("")
    env = {"PATH": os.environ["PATH"], "INPUT_AUDIENCE": "my-equinix-audience", "INPUT_SCOPE": "roleassignments:x", "GITHUB_OUTPUT": str(output)}
    *cost, done = timed(["node", str(file)], env)
    if done.returncode or "access-token" not in output.read_text():
        sys.exit(f"the JavaScript action hands nothing over:\n{done.stderr}")
    return cost


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(world.ROOT / "target/release/equinix-wif"))
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    if not shutil.which("node"):
        sys.exit("Node.js is missing")
    with tempfile.TemporaryDirectory() as folder:
        action, script = Action(folder, options.binary), bundled(folder)
        kept = Path(folder, "tools")

        def fetched():
            with tempfile.TemporaryDirectory(dir=folder) as tools:
                return action.run(tools)

        contenders = {
            "the action, fetched": fetched,
            "the action, from the tool cache": lambda: action.run(kept),
            "a JavaScript action's start": lambda: javascript(script, folder),
        }
        results = {name: [] for name in contenders}
        for number in range(options.rounds + 1):
            for name in random.sample(list(contenders), len(contenders)):
                elapsed = contenders[name]()
                if number:  # the first round warms what the machine keeps in memory
                    results[name].append(elapsed)
        medians = {name: [statistics.median(costs) for costs in zip(*all_costs)] for name, all_costs in results.items()}
        start = medians["a JavaScript action's start"]
        print(f"An archive of {action.size / 1e6:.2f} MB; a bundle of {script.stat().st_size / 1e6:.2f} MB.\n")
        print("| | ms (median) | of a JavaScript action's start | processor ms | of a JavaScript action's start |\n|---|---|---|---|---|")
        for name, (wall, processor) in medians.items():
            print(f"| {name} | {wall * 1000:.1f} | {wall / start[0]:.2f} | {processor * 1000:.1f} | {processor / start[1]:.2f} |")


if __name__ == "__main__":
    main()
