"""A stand-in for Equinix's Terraform provider: it takes its credentials from where that one takes them, in the same order,
and asks no API for anything. Which way it took, and with which token, goes to $SEEN/uses, one JSON object a line.

What it copies, and nothing else: the arguments for credentials with their variables and defaults; that a scope and a
subject token win over a token; that it exchanges when the token is first needed, at /use/token, and says what the STS
answered when it is refused; and the data source `equinix_fabric_metros`, with made-up metros. The protocol's side is the
package `tf`."""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

from tf import types
from tf.iface import DataSource, Provider, ReadDataContext
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
            return json.load(answer)["access_token"]
    except urllib.error.HTTPError as error:
        raise Refused(f"STS token exchange failed with status {error.code}: {error.read().decode()}") from None


def credential(settings):
    """The way that is taken, and the token."""
    subject_token = settings["token_exchange_subject_token"]
    subject_token = subject_token or os.environ.get(settings["token_exchange_subject_token_env_var"], "")
    if settings["token_exchange_scope"] and subject_token:
        return "exchange", exchange(settings, subject_token)
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
            way, token = credential(self.settings)
        except Refused as why:
            ctx.diagnostics.add_error("Failed retrieving metros", str(why))
            return None
        variables = sorted(name for name in os.environ if name.startswith(TOLD))
        with open(os.environ["SEEN"] + "/uses", "a") as uses:
            uses.write(json.dumps({"way": way, "token": token, "variables": variables}) + "\n")
        return {**config, "data": [{"code": "AM"}, {"code": "FR"}], "id": "metros"}


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
        return []


run_provider(Equinix(), sys.argv)
