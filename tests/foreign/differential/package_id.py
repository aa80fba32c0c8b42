"""The package `id` for the ID token, and `requests` for the exchange."""

import os

import id
import requests

subject = id.detect_credential(os.environ["AUDIENCE"])
answer = requests.post(
    os.environ["STS"] + "/use/token",
    data={
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "scope": os.environ["SCOPE"],
        "subject_token": subject,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    },
)
if not answer.ok:
    raise SystemExit(f"{answer.status_code} {answer.text}")
print(answer.json()["access_token"])
