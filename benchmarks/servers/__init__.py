"""The servers that are compared."""

from benchmarks.servers.base import Server
from benchmarks.servers.bento import BentoMl
from benchmarks.servers.fastapis import Constant, RawAsgi, Tutorial, Vetiver
from benchmarks.servers.lit import LitServe
from benchmarks.servers.mlflows import MlflowServe
from benchmarks.servers.mlservers import MlServer
from benchmarks.servers.ours import Ours, OursInProduction


def all_servers() -> list[Server]:
    """Return the servers in the order of the first round."""
    return [
        Ours(),
        OursInProduction(),
        MlflowServe(),
        BentoMl(),
        BentoMl((64, 1000)),
        MlServer(),
        MlServer((64, 0.02)),
        Vetiver(),
        LitServe(),
        LitServe((32, 0.002), "fast"),
        Tutorial(threads=None),
        Tutorial(threads=1),
        Constant(),
        RawAsgi(),
    ]
