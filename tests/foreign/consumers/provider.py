"""A Terraform provider with the data source `external`, which does what HashiCorp's does: it runs a program without a
shell, gives it the query as a JSON object of strings on standard input, takes an object of strings from standard output,
and shows standard error only when the program fails. The protocol's side is the package `tf`. The address that it is known
by is that of the folder in the mirror, so one file serves several."""

import json
import subprocess
import sys

from tf import types
from tf.iface import DataSource, Provider, ReadDataContext
from tf.runner import run_provider
from tf.schema import Attribute, Schema

STRINGS = types.Map(types.String())


class External(DataSource):
    def __init__(self, provider):
        pass

    @classmethod
    def get_name(cls):
        return "external"

    @classmethod
    def get_schema(cls):
        return Schema(
            attributes=[
                Attribute("program", types.List(types.String()), required=True),
                Attribute("query", STRINGS, optional=True),
                Attribute("working_dir", types.String(), optional=True),
                Attribute("result", STRINGS, computed=True),
                Attribute("id", types.String(), computed=True),
            ]
        )

    def read(self, ctx: ReadDataContext, config):
        query = {name: value for name, value in (config.get("query") or {}).items() if value is not None}
        ran = subprocess.run(config["program"], input=json.dumps(query).encode(), capture_output=True, cwd=config.get("working_dir"))
        if ran.returncode != 0:
            ctx.diagnostics.add_error(
                "External Program Execution Failed",
                "The data source received an unexpected error while attempting to execute the program.\n\n"
                f"Program: {config['program'][0]}\nError Message: {ran.stderr.decode()}\n"
                f"State: exit status {ran.returncode}",
            )
            return None
        result = json.loads(ran.stdout)
        if not isinstance(result, dict) or not all(isinstance(value, str) for value in result.values()):
            ctx.diagnostics.add_error("Unexpected External Program Results", "a value is no string")
            return None
        return {**config, "result": result, "id": "-"}


class ExternalProvider(Provider):
    def get_model_prefix(self):
        return ""

    def full_name(self):
        return "example.test/project/external"

    def get_provider_schema(self, diags):
        return Schema(attributes=[])

    def validate_config(self, diags, config):
        pass

    def configure_provider(self, diags, config):
        pass

    def get_data_sources(self):
        return [External]

    def get_resources(self):
        return []


run_provider(ExternalProvider(), sys.argv)
