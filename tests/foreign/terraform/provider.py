"""A stand-in for Equinix's Terraform provider: it takes its credentials from where that one takes them, in the same order.
Which way it took, and with which token, goes to $SEEN/uses, one JSON object a line.

What it copies, and nothing else: the arguments for credentials with their variables and defaults; that a scope and a
subject token win over a token; that each operation exchanges when it first needs a token, at /use/token, and again when
ten seconds or less are left of it, and says what the STS answered when it is refused; the data source
`equinix_fabric_metros`, with made-up metros and no request to an API; and the resource `equinix_fabric_stream`, which is
created by a request and asked for until it is there, and which is not in the state when that fails. It does not try
again where the original does. The protocol's side is the package `tf`."""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from tf import types
from tf.iface import DataSource, Provider, ReadDataContext, Resource
from tf.runner import run_provider
from tf.schema import Attribute, Schema

# Each argument with its variable and its default.
ARGUMENTS = {
    "endpoint": ("EQUINIX_API_ENDPOINT", "https://api.equinix.com"),
    "client_id": ("EQUINIX_API_CLIENTID", ""),
    "client_secret": ("EQUINIX_API_CLIENTSECRET", ""),
    "token": ("EQUINIX_API_TOKEN", ""),
    "sts_endpoint": ("EQUINIX_STS_ENDPOINT", "https://sts.eqix.equinix.com"),
    "token_exchange_scope": ("EQUINIX_TOKEN_EXCHANGE_SCOPE", ""),
    "token_exchange_subject_token": (None, ""),
    "token_exchange_subject_token_env_var": (
        "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR",
        "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN",
    ),
}
# What a run should not have unless it needs it is told as well.
TOLD = ("EQUINIX_", "ACTIONS_ID_TOKEN_", "TFC_", "TF_VAR_")


class Refused(Exception):
    pass


def exchange(settings, subject_token):
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "scope": settings["token_exchange_scope"],
        "subject_token": subject_token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    }
    address = settings["sts_endpoint"] + "/use/token"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, urllib.parse.urlencode(form).encode(), timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Refused(f"STS token exchange failed with status {error.code}: {error.read().decode()}") from None


class Credential:
    """The token of one operation."""

    def __init__(self, settings):
        self.settings = settings
        self.token = None
        self.end = None

    def get(self):
        if self.token is None or (self.end is not None and self.end - time.monotonic() <= 10):
            way, self.token = self.obtain()
            variables = sorted(name for name in os.environ if name.startswith(TOLD))
            with open(os.environ["SEEN"] + "/uses", "a") as uses:
                uses.write(json.dumps({"way": way, "token": self.token, "variables": variables}) + "\n")
        return self.token

    def obtain(self):
        """The way that is taken, and the token."""
        settings = self.settings
        subject_token = settings["token_exchange_subject_token"]
        subject_token = subject_token or os.environ.get(settings["token_exchange_subject_token_env_var"], "")
        if settings["token_exchange_scope"] and subject_token:
            answer = exchange(settings, subject_token)
            self.end = time.monotonic() + answer["expires_in"]
            return "exchange", answer["access_token"]
        if settings["token"]:
            return "token", settings["token"]
        raise Refused("no credential but a client id and secret, which this stand-in does not know")


class Metros(DataSource):
    def __init__(self, provider):
        self.settings = provider.settings

    @classmethod
    def get_name(cls):
        return "fabric_metros"

    @classmethod
    def get_schema(cls):
        return Schema(
            attributes=[
                Attribute("pagination", types.Map(types.Number()), required=True),
                Attribute("presence", types.String(), optional=True),
                Attribute("data", types.List(types.Map(types.String())), computed=True),
                Attribute("id", types.String(), computed=True),
            ]
        )

    def read(self, ctx: ReadDataContext, config):
        try:
            Credential(self.settings).get()
        except Refused as why:
            ctx.diagnostics.add_error("Failed retrieving metros", str(why))
            return None
        return {**config, "data": [{"code": "AM"}, {"code": "FR"}], "id": "metros"}


class Stream(Resource):
    def __init__(self, provider):
        self.settings = provider.settings

    @classmethod
    def get_name(cls):
        return "fabric_stream"

    @classmethod
    def get_schema(cls):
        return Schema(
            attributes=[
                Attribute("type", types.String(), required=True),
                Attribute("name", types.String(), required=True),
                Attribute("state", types.String(), computed=True),
                Attribute("uuid", types.String(), computed=True),
            ]
        )

    def ask(self, credential, method, path, body=None):
        """A request to the API. A refusal is final, also that of a token."""
        request = urllib.request.Request(self.settings["endpoint"] + "/fabric/v4/streams" + path, method=method)
        request.add_header("Authorization", "Bearer " + credential.get())
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(f"{error.code} {error.reason} {error.read().decode()}") from None

    def create(self, ctx, planned):
        credential = Credential(self.settings)
        try:
            stream = self.ask(credential, "POST", "", {"type": planned["type"], "name": planned["name"]})
            while stream["state"] != "PROVISIONED":
                time.sleep(0.5)
                stream = self.ask(credential, "GET", "/" + stream["uuid"])
        except Refused as why:
            ctx.diagnostics.add_error("Failed creating stream", str(why))
            return None
        return {**planned, "state": stream["state"], "uuid": stream["uuid"]}

    def read(self, ctx, current):
        return current

    def update(self, ctx, current, planned):
        return planned

    def delete(self, ctx, current):
        return None


class Equinix(Provider):
    settings = None

    def get_model_prefix(self):
        return "equinix_"

    def full_name(self):
        return "equinix/equinix"

    def get_provider_schema(self, diags):
        secret = ("client_secret", "token", "token_exchange_subject_token")
        of = lambda name: Attribute(name, types.String(), optional=True, sensitive=name in secret)
        return Schema(attributes=[of(name) for name in ARGUMENTS])

    def validate_config(self, diags, config):
        pass

    def configure_provider(self, diags, config):
        def setting(name, variable, default):
            given = config.get(name)
            return given if given is not None else os.environ.get(variable or "", "") or default

        self.settings = {name: setting(name, *source) for name, source in ARGUMENTS.items()}

    def get_data_sources(self):
        return [Metros]

    def get_resources(self):
        return [Stream]


run_provider(Equinix(), sys.argv)
