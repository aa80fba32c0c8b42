"""Many jobs that start at once, before an STS that admits so many exchanges a second and asks the others to slow down: the
real program, hundreds of processes. Prints a table in Markdown; ends with 1 when a job fails or more than four requests
are needed for a token. The simulation in src/retry/simulation.rs does the same in memory.

    python3 benches/fleet.py [--binary PATH]
"""

import argparse
import collections
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import world
from run import AUDIENCE, SCOPE, jwt

# Jobs, and how many of them a second are admitted.
CASES = [(300, 10), (800, 50)]
ISSUER = "https://gitlab.example"
MOST_REQUESTS = 4


class Sts(socketserver.ThreadingTCPServer):
    """Admits `rate` requests in each second."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 1024

    def __init__(self, rate, retry_after):
        self.rate, self.retry_after = rate, retry_after
        self.lock, self.window, self.admitted, self.requests = threading.Lock(), 0.0, 0, 0
        super().__init__(("127.0.0.1", 0), Talk)

    def admits(self):
        with self.lock:
            now = time.monotonic()
            if now - self.window >= 1:
                self.window, self.admitted = now, 0
            self.requests += 1
            self.admitted += 1
            return self.admitted <= self.rate


class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        length = 0
        for line in iter(self.rfile.readline, b"\r\n"):
            if not line:
                return
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.rfile.read(length)
        lines, body = ["HTTP/1.1 429 Too Many Requests"], b""
        if self.server.admits():
            lines, body = ["HTTP/1.1 200 OK", "Content-Type: application/json"], json.dumps(world.answer("/use/token", None)).encode()
        elif self.server.retry_after:
            lines.append(f"Retry-After: {self.server.retry_after}")
        lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
        self.wfile.write("\r\n".join(lines).encode() + body)


def play(binary, jobs, rate, retry_after, folder):
    """Lets all jobs run; how many succeeded, how many requests that took, and when the last one ended."""
    with Sts(rate, retry_after) as sts:
        threading.Thread(target=sts.serve_forever, daemon=True).start()
        env = {"PATH": os.environ["PATH"], "TOKEN": jwt(ISSUER)}
        command = [binary, "token", "-q", "--subject-token-env", "TOKEN", "--audience", AUDIENCE, "--scope", SCOPE, "--format", "raw",
                   "--sts-endpoint", f"http://127.0.0.1:{sts.server_address[1]}"]
        started = time.monotonic()
        running = [subprocess.Popen(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE) for _ in range(jobs)]
        ends = collections.Counter()
        for process in running:
            output, errors = process.communicate()
            succeeded = process.returncode == 0 and output.decode().strip() == world.TOKEN
            ends["ok" if succeeded else errors.decode().splitlines()[0]] += 1
        elapsed = time.monotonic() - started
        sts.shutdown()
        return ends, sts.requests, elapsed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=world.ROOT / "target/release/equinix-wif")
    binary = str(parser.parse_args().binary.resolve())
    failed = False
    print("| Jobs | Admitted | Retry-After | With a token | Requests each | Time |\n|---|---|---|---|---|---|")
    for jobs, rate in CASES:
        for retry_after in (None, 1):
            with tempfile.TemporaryDirectory() as folder:
                ends, requests, elapsed = play(binary, jobs, rate, retry_after, folder)
            each = requests / max(ends["ok"], 1)
            print(f"| {jobs} | {rate}/s | {retry_after or 'none'} | {ends.pop('ok', 0)} | {each:.1f} | {elapsed:.0f} s |", flush=True)
            failed |= bool(ends) or each > MOST_REQUESTS
            for message, count in ends.items():
                print(f"{count} failed: {message}", file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
