"""uvicorn's undocumented names that `transport.protocol`, `transport.connections` and `server.workers` use.

They are listed here only. pyproject.toml keeps uvicorn below the next minor version: raise that bound when these tests
pass with it.
"""

import ast
import asyncio
import inspect
import re
from typing import Any

import pytest
import uvicorn.server
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.supervisors import multiprocess

from skline.serving.server import workers
from skline.serving.server.workers import WorkerSupervisor
from skline.serving.transport import connections, protocol
from skline.serving.transport.protocol import FastPathCycle, FastPathProtocol, InputControl

#: Methods of HttpToolsProtocol that FastPathProtocol overrides.
OVERRIDDEN = {
    "_should_upgrade", "_unsupported_upgrade_warning", "connection_lost", "connection_made", "data_received", "on_body",
    "on_headers_complete", "on_message_complete", "on_response_complete",
}  # fmt: skip
#: Attributes of its instances.
PROTOCOL = {
    "app", "app_state", "cycle", "expect_100_continue", "flow", "headers", "parser", "pipeline", "scope",
    "server_state", "timeout_keep_alive_task", "transport", "url",
}  # fmt: skip
#: Attributes of a RequestResponseCycle that are read or set here.
CYCLE = {"more_body", "response_complete"}
#: Attributes of a cycle that HttpToolsProtocol itself reads or sets, so that FastPathCycle has to have them.
CYCLE_IN_UVICORN = {"disconnected", "keep_alive", "message_event", "more_body", "response_complete"}
FLOW = {"write_paused"}
#: Attributes of a FlowControl that InputControl uses.
INPUT_CONTROL = {"_transport", "read_paused"}
SERVER_STATE = {"default_headers"}
#: Methods of Multiprocess that WorkerSupervisor overrides, and attributes of it and of its processes.
SUPERVISOR, WORKER_PROCESS = {"init_processes", "keep_subprocess_alive"}, {"child_conn"}


@pytest.fixture
def uvicorn_protocol() -> HttpToolsProtocol:
    """uvicorn's own protocol at the start of a request."""
    config = uvicorn.Config(lambda: None, lifespan="off", log_config=None)
    loop = asyncio.new_event_loop()
    loop.close()
    http = HttpToolsProtocol(config, uvicorn.server.ServerState(), {}, _loop=loop)
    http.on_message_begin()
    return http


def attributes_of(owner: str, *modules: Any) -> set[str]:
    """Return the attributes of `owner`, such as "self.cycle", that the source of the modules names."""
    nodes = (node for module in modules for node in ast.walk(ast.parse(inspect.getsource(module))))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == owner}


def test_overridden_methods_exist() -> None:
    assert {name for name in vars(FastPathProtocol) if hasattr(HttpToolsProtocol, name)} >= OVERRIDDEN
    for name in OVERRIDDEN:
        ours, theirs = getattr(FastPathProtocol, name), getattr(HttpToolsProtocol, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name


def test_attributes_exist(uvicorn_protocol: HttpToolsProtocol) -> None:
    assert {name for name in PROTOCOL if not hasattr(uvicorn_protocol, name)} == set()
    assert {name for name in SERVER_STATE if not hasattr(uvicorn_protocol.server_state, name)} == set()
    transport: Any = None
    assert {name for name in FLOW | INPUT_CONTROL if not hasattr(FlowControl(transport), name)} == set()
    arguments: dict[str, Any] = dict.fromkeys(inspect.signature(RequestResponseCycle).parameters)
    assert {name for name in CYCLE if not hasattr(RequestResponseCycle(**arguments), name)} == set()
    assert httptools_impl.STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"


def test_the_supervisor_overrides_what_exists() -> None:
    for name in SUPERVISOR:
        ours, theirs = getattr(WorkerSupervisor, name), getattr(multiprocess.Multiprocess, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters), name
    source = inspect.getsource(multiprocess)
    assert "self.processes: list[Process]" in source
    assert all(f"self.{name}" in inspect.getsource(multiprocess.Process.__init__) for name in WORKER_PROCESS)


def test_stand_in_for_a_cycle_has_what_uvicorn_uses() -> None:
    used = set(re.findall(r"\b(?:self\.|existing_)cycle\.(\w+)", inspect.getsource(HttpToolsProtocol)))
    assert used == CYCLE_IN_UVICORN | {"body"}, "the body of a request on the fast path never reaches uvicorn"
    stand_in = FastPathCycle(keep_alive=True)
    assert {name for name in CYCLE_IN_UVICORN if not hasattr(stand_in, name)} == set()


def test_default_headers_are_replaced_and_never_changed_in_place() -> None:
    source = inspect.getsource(uvicorn.server)
    assert "server_state.default_headers = " in source
    assert not re.search(r"default_headers(\[|\.(append|extend|insert|clear))", source)


def test_every_name_that_is_used_is_listed() -> None:
    own = {name for name in vars(FastPathProtocol) if name not in OVERRIDDEN}
    own |= {"_body_parts", "_fast_path", "_input", "_max_fast_bytes", "_output"}
    assert attributes_of("self", FastPathProtocol) - own <= PROTOCOL | OVERRIDDEN
    assert attributes_of("super()", protocol) - {"__init__"} <= OVERRIDDEN
    assert attributes_of("self.flow", protocol) == FLOW
    assert attributes_of("self", InputControl) == INPUT_CONTROL | {"held"}
    assert attributes_of("self.server_state", protocol) == SERVER_STATE
    assert attributes_of("self.cycle", protocol) | attributes_of("cycle", connections) == CYCLE
    assert attributes_of("super()", workers) == SUPERVISOR
    assert attributes_of("process", workers) == WORKER_PROCESS
    assert attributes_of("connection", connections) == {"cycle", "transport", "timeout_keep_alive_task"}
