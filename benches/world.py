"""What a job talks to, for measurements: an issuer and an STS behind TLS, with a CA of their own, and the contenders."""

import contextlib
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = ROOT / "tests/foreign/differential"
sys.path.insert(0, str(PEERS))
from run import AUDIENCE, BEARER, SCOPE, TOKEN, jwt  # noqa: E402


# With what a server's certificate is signed, and what a client has to verify. RSA is what the big CAs' certificates for
# CI platforms have; on a curve, verifying costs ten times as much.
KEYS = {"RSA": ["-newkey", "rsa:2048"], "P-256": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}


# The facts of an example job of each platform, as the sandbox has them.
JOBS = json.loads((ROOT / "src/sandbox/jobs.json").read_text())


def filled(value, facts):
    """The value with facts in the place of their names."""
    if isinstance(value, dict):
        return {name: filled(member, facts) for name, member in value.items()}
    if isinstance(value, list):
        return [filled(member, facts) for member in value]
    return re.sub(r"\{(\w+)\}", lambda name: facts[name[1]], value) if isinstance(value, str) else value


def example(platform, server):
    """The variables and claims of a platform's example job."""
    job, (scheme, host) = JOBS[platform], server.split("://")
    place = {"server": server, "scheme": scheme, "host": host, "hostname": host.split(":")[0]}
    job = filled(job, {**job["facts"], **place})
    return job["variables"], job["claims"]


def budgets():
    """What may be used at most."""
    return json.loads((HERE / "budgets.json").read_text())


def make_certificates(folder, addresses, key="RSA"):
    """A CA and a server certificate for these addresses."""
    openssl = lambda *args: subprocess.run(["openssl", *args], check=True, cwd=folder, capture_output=True)
    new_key = [*KEYS[key], "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=equinix-wif bench CA")
    names = ",".join(f"IP:{address}" for address in addresses)
    Path(folder, "extensions").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=bench")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.pem",
            "-days", "2", "-extfile", "extensions")


def answer(path, issuer):
    """The body for a path, or None."""
    if path.startswith("/idtoken"):
        return {"value": jwt(issuer, **example("github", issuer)[1])}
    if path.startswith("/use/token"):
        return {"access_token": TOKEN, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "token_type": "Bearer", "expires_in": 3600}
    return None


def talk(connection, context, issuer):
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(connection, server_side=True) as stream:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    more = stream.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
                while len(data) < length:
                    data += stream.recv(65536)
                data = data[length:]
                body = json.dumps(answer(head.split(b" ")[1].decode(), issuer)).encode()
                lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}"]
                stream.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    except OSError:
        pass


def serve(folder, address, ports):
    """Serves both, each on a port of its own, until the process ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(folder, "server.pem"), Path(folder, "server.key"))
    issuer = f"https://{address}:{ports[0]}/_services/token"

    def accept(listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection, context, issuer), daemon=True).start()

    threads = [threading.Thread(target=accept, args=(socket.create_server((address, port), backlog=64),)) for port in ports]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def served(folder, address, ports, prefix=()):
    """Both servers in a process of their own, which this command starts."""
    command = [*prefix, sys.executable, str(HERE / "world.py"), folder, address, *map(str, ports)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.wait()


class Job:
    """The environment of a GitHub or GitLab job that talks to the two servers, and the commands that get a token there."""

    def __init__(self, folder, address, ports, binary):
        self.folder, self.binary = Path(folder), str(binary)
        self.issuer, self.sts = (f"https://{address}:{port}" for port in ports)
        self.ca = str(self.folder / "ca.pem")

    def _env(self, **more):
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AUDIENCE": AUDIENCE, "SCOPE": SCOPE, "STS": self.sts,
                "NODE_NO_WARNINGS": "1", "NODE_EXTRA_CA_CERTS": self.ca, "SSL_CERT_FILE": self.ca,
                "REQUESTS_CA_BUNDLE": self.ca, "CURL_CA_BUNDLE": self.ca,
                **more}

    @property
    def bare(self):
        """No job at all."""
        return {"PATH": os.environ["PATH"]}

    @property
    def github(self):
        output = self.folder / "output"
        output.write_text("")
        variables, _ = example("github", self.issuer)
        return self._env(**variables, GITHUB_OUTPUT=str(output), RUNNER_TEMP=str(self.folder),
                         ACTIONS_ID_TOKEN_REQUEST_URL=f"{self.issuer}/idtoken?api-version=2.0", ACTIONS_ID_TOKEN_REQUEST_TOKEN=BEARER)

    @property
    def gitlab(self):
        variables, claims = example("gitlab", self.issuer)
        return self._env(**variables, EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN=jwt(self.issuer, **claims))

    @property
    def flags(self):
        return ["--scope", SCOPE, "--sts-endpoint", self.sts, "--ca-file", self.ca, "--format", "raw"]

    def token(self):
        return [self.binary, "token", "--audience", AUDIENCE, *self.flags]

    def contenders(self):
        """Names and commands, the measured program first."""
        one_by_one = '"$0" id-token --audience "$AUDIENCE" --ca-file "$CURL_CA_BUNDLE" --format raw | ' \
                     '"$0" token --subject-token-file - "$@"'
        return {
            "equinix-wif": self.token(),
            "equinix-wif, one request after the other": ["sh", "-c", one_by_one, self.binary, *self.flags],
            "bash, curl, jq": ["bash", str(PEERS / "curl.sh")],
            "Python, id and requests": [str(PEERS / ".venv/bin/python"), str(PEERS / "package_id.py")],
            "Node.js, @actions/core and fetch": ["node", str(PEERS / "toolkit.mjs")],
        }


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]])
