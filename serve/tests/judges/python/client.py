"""Asks an MCP service all that the judges want to know, with either generation of the official Python SDK, and prints it
as one JSON object. Its argument is one too:

    {"mode": "legacy" | "auto" | "2026-07-28", "url": …, "bearer": …} or {"mode": …, "command": [PROGRAM, ARGUMENT…]}

With "wait": ARGUMENTS it makes one call with them, cancels it at the first line on standard input, and leaves at the next.
"""

import contextlib
import json
import sys

import anyio
import mcp
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

IS_SECOND = hasattr(mcp, "Client")
if IS_SECOND:
    import httpx2 as httpx
else:
    import httpx

LIMIT = 60


@contextlib.asynccontextmanager
async def transport(plan):
    """The streams to the service, as the SDK wants them."""
    if "command" in plan:
        program, *arguments = plan["command"]
        async with stdio_client(StdioServerParameters(command=program, args=arguments, env=plan["env"])) as streams:
            yield streams
        return
    headers = {"Authorization": f"Bearer {plan['bearer']}"}
    if "origin" in plan:
        headers["Origin"] = plan["origin"]

    async def note(response):
        plan["statuses"].append(response.status_code)

    async with httpx.AsyncClient(headers=headers, timeout=LIMIT, event_hooks={"response": [note]}) as client:
        async with streamable_http_client(plan["url"], http_client=client) as streams:
            yield streams


@contextlib.asynccontextmanager
async def connected(plan):
    """A client that knows the service, and what the service said of itself."""
    if IS_SECOND:
        async with mcp.Client(transport(plan), mode=plan["mode"]) as client:
            server = client.server_info
            yield client, {
                "protocol": client.protocol_version,
                "server": server and server.name,
                "instructions": client.instructions,
            }
        return
    async with transport(plan) as streams, mcp.ClientSession(*streams[:2]) as client:
        said = await client.initialize()
        yield client, {
            "protocol": said.protocolVersion,
            "server": said.serverInfo.name,
            "instructions": said.instructions,
        }


def wire(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def told(error):
    """What a refusal says: its text, and the code if there is one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    account = {"text": f"{type(error).__name__}: {error}"}
    if hasattr(error, "error"):
        account["code"] = error.error.code
    return account


async def tried(call):
    try:
        return {"result": wire(await call)}
    except Exception as error:
        return {"error": told(error)}


async def refused(plan, **changes):
    """What a client is told that ought not to come in, and the first status: the SDKs hand it on in three ways, or not."""
    statuses = []
    try:
        with anyio.fail_after(LIMIT):
            async with connected(plan | changes | {"statuses": statuses}) as (client, _):
                await client.list_tools()
    except Exception as error:
        return told(error) | {"status": statuses[0]}
    return None


async def asked(plan):
    async with connected(plan) as (client, seen):
        listed = (await client.list_tools()).tools
        seen["tools"] = {tool.name: wire(tool) for tool in listed}
        seen["get"] = await tried(client.call_tool("getoauth2accesstoken", {}))
        seen["renew"] = await tried(client.call_tool("refreshoauth2accesstoken", {}))
        seen["inspect"] = await tried(client.call_tool("inspect", {}))
        seen["explain"] = await tried(client.call_tool("explain", {"code": "claim-aud"}))
        seen["unknown_tool"] = await tried(client.call_tool("no-such-tool", {}))
        seen["wrong_type"] = await tried(client.call_tool("explain", {"code": 7}))
        seen["missing_argument"] = await tried(client.call_tool("explain", {}))
        seen["get_wrong_type"] = await tried(client.call_tool("getoauth2accesstoken", {"client_id": ["x"]}))
    if "url" in plan:
        seen["wrong_bearer"] = await refused(plan, bearer="wrong")
        seen["foreign_origin"] = await refused(plan, origin="https://attacker.example")
    return seen


async def line():
    await anyio.to_thread.run_sync(sys.stdin.readline)


async def cancelled(plan):
    """A call that waits, until it is cancelled. The client stays connected, so that it is the cancellation that counts."""
    async with connected(plan) as (client, _):
        ended = None

        async def call():
            nonlocal ended
            ended = await tried(client.call_tool("getoauth2accesstoken", plan["wait"]))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await line()
            group.cancel_scope.cancel()
        if not IS_SECOND:
            # The first generation says nothing when a call is given up. Its user does.
            note = mcp.types.CancelledNotification(
                params=mcp.types.CancelledNotificationParams(requestId=client._request_id - 1)
            )
            await client.send_notification(mcp.types.ClientNotification(note))
        print(json.dumps({"cancelled": ended is None, "ended": ended}), flush=True)
        await line()


async def main():
    plan = json.loads(sys.argv[1]) | {"statuses": []}
    if "wait" in plan:
        await cancelled(plan)
    else:
        print(json.dumps(await asked(plan)))


anyio.run(main)
