"""Measures the local service with wrk and nginx (Debian), on one machine: requests a second, latency, processor time a request,
memory, the time to the first answer, and the size of the program.

    cargo build --release --manifest-path serve/Cargo.toml
    python3 benches/serve.py [--binary PATH] [--seconds N] [--only NAME]

nginx plays the API: it answers every request with the same token. Figures differ between machines; size and crates are held by
.ci/budgets.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import world

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 8
TOKEN = json.dumps({
    "access_token": "an-access-token-of-the-bench-0123456789", "token_timeout": "3599", "user_name": "bench", "token_type": "Bearer",
})
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type application/json; keepalive_requests 100000000; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{token}'; }} }}
}}
"""
CREDENTIALS = '{"grant_type":"client_credentials","client_id":"a-client-id","client_secret":"a-client-secret"}'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """A running service."""

    def __init__(self, binary, *arguments, environment=None):
        self.started = time.perf_counter()
        # To a file, as under a service manager without a reader that would take a share of the processors.
        self.log = tempfile.NamedTemporaryFile()
        command = [binary, "--rest-listen", "127.0.0.1:0", "--mcp-listen", "127.0.0.1:0", "--log-format", "json", *arguments]
        clean = {"PATH": os.environ["PATH"], "HOME": tempfile.gettempdir()}
        self.process = subprocess.Popen(command, stderr=self.log, env={**clean, **(environment or {})})
        self.ready = self.wait_until_ready()
        self.bearer = Path(self.ready["bearer_file"]).read_text()

    def wait_until_ready(self):
        while self.process.poll() is None:
            for line in Path(self.log.name).read_text().splitlines():
                if '"ready"' in line and line.endswith("}"):
                    return json.loads(line)
            time.sleep(0.0002)
        sys.exit("the service did not start")

    def first_answer(self):
        """The time from the start of the process to its first answer, in milliseconds."""
        connection = HTTPConnection(urlsplit(self.ready["rest"]).netloc)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        return (time.perf_counter() - self.started) * 1000

    def memory(self, name):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0]) / 1024

    def processor_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(20) == 0
        self.log.close()


def milliseconds(text):
    number, unit = re.fullmatch(r"([0-9.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def load(url, headers, body, seconds):
    """What wrk reports: requests, requests a second, and latencies in milliseconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "POST"\nwrk.body = {json.dumps(body)}\n')
        for name, value in headers.items():
            script.write(f'wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n')
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", script.name, url]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        sys.exit(told)
    latency = {part: milliseconds(re.search(rf"^ +{part}% +(\S+)$", told, re.MULTILINE).group(1)) for part in ("50", "99")}
    return {
        "requests": int(re.search(r"(\d+) requests in", told).group(1)),
        "a_second": float(re.search(r"Requests/sec:\s+([0-9.]+)", told).group(1)),
        "p50": latency["50"], "p99": latency["99"],
    }


def measure(binary, arguments, target, seconds):
    service = Service(binary, *arguments)
    first = service.first_answer()
    memory = service.memory("VmRSS")
    url, headers, body = target(service)
    load(url, headers, body, 3)
    busy = service.processor_seconds()
    figures = load(url, headers, body, seconds)
    figures["processor_us"] = (service.processor_seconds() - busy) / figures["requests"] * 1e6
    figures.update(first_answer_ms=first, memory_start=memory, memory_load=service.memory("VmHWM"))
    service.end()
    return figures


def rest(service):
    headers = {"Authorization": f"Bearer {service.bearer}", "Content-Type": "application/json"}
    return service.ready["rest"] + "/oauth2/v1/token", headers, CREDENTIALS


def mcp(service):
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "getoauth2accesstoken", "arguments": json.loads(CREDENTIALS)}}
    headers = {
        "Authorization": f"Bearer {service.bearer}", "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
    }
    return service.ready["mcp"], headers, json.dumps(call)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(world.ROOT / "serve/target/release/equinix-wif-serve"))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    for program in ("wrk", "nginx"):
        if not shutil.which(program):
            sys.exit(f"{program} is missing: apt-get install wrk nginx-light")
    print(f"program: {os.path.getsize(arguments.binary):,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        Path(folder, "nginx.conf").write_text(NGINX.format(folder=folder, port=port, token=TOKEN))
        upstream = subprocess.Popen(["nginx", "-c", f"{folder}/nginx.conf", "-p", folder, "-e", f"{folder}/error.log"])
        try:
            passed = ["--backend", "pass-through", "--api-endpoint", f"http://127.0.0.1:{port}"]
            runs = {
                "upstream alone": None, "REST, passed on": (passed, rest), "MCP, passed on": (passed, mcp),
                "REST, from the cache": (["--sandbox"], lambda service: (rest(service)[0], rest(service)[1], "{}")),
            }
            for name, run in runs.items():
                if arguments.only and arguments.only not in name:
                    continue
                if run is None:
                    time.sleep(0.5)
                    figures = load(f"http://127.0.0.1:{port}/", {}, CREDENTIALS, 3)
                else:
                    figures = measure(arguments.binary, run[0], run[1], arguments.seconds)
                print(name + ": " + ", ".join(f"{key} {value:,.2f}" for key, value in figures.items()), flush=True)
        finally:
            upstream.terminate()
            upstream.wait()


if __name__ == "__main__":
    main()
