"""`skline score TABLE --out FILE`: score a table of any length with the packaged artifact."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from skline import paths

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

#: Exit status where every row was read and some were rejected.
SOME_REJECTED = 3


def add(commands: "Commands") -> None:
    """Declare the command."""
    words = "score a table of any length with the packaged artifact"
    command = commands.add_parser(
        "score",
        help=words,
        description=f"{words[0].upper()}{words[1:]}. Exit status: 0 if every row was scored, {SOME_REJECTED} if some "
        "were rejected into the side file, 1 if nothing was written, 2 for a mistake in the command.",
    )
    command.add_argument("table", type=Path, help="csv, tsv (also .gz, .bz2, .zst, .zip) or Parquet")
    command.add_argument("--out", type=Path, required=True, help="csv, tsv (also .gz) or Parquet, by its name")
    command.add_argument("--keep", default="", help="columns of the table to be carried along, with commas")
    command.add_argument("--delimiter", help="of a CSV (default: as in params.yaml; a tab for .tsv)")
    command.add_argument("--encoding", help="of a CSV (default: as in params.yaml)")
    command.add_argument("--member", help="which file of a zip, if it holds several")
    command.add_argument("--artifact", type=Path, default=paths.ARTIFACT, help="its directory (default: %(default)s)")
    command.add_argument("--digest", help="sha256 the artifact must have (default: what artifact.sha256 says)")
    command.add_argument("--jobs", type=int, help="threads, or processes of dask (default: one for each core)")
    command.add_argument("--engine", choices=("threads", "dask"), default="threads", help="(default: %(default)s)")
    command.add_argument("--scheduler", help="address of a Dask scheduler (default: a cluster on this machine)")
    command.set_defaults(carry_out=carry_out)


def carry_out(arguments: argparse.Namespace) -> int:
    """Score, and say how many rows."""
    from skline.artifact import read_digest
    from skline.batch.part import PartScorer
    from skline.batch.read import Format, Input
    from skline.batch.run import cores, on_threads, score_table
    from skline.errors import SklineError
    from skline.settings import Settings

    jobs = cores() if arguments.jobs is None else arguments.jobs
    if jobs < 1:
        raise SklineError(f"--jobs is {jobs}; at least one is needed")
    if arguments.scheduler and arguments.engine != "dask":
        raise SklineError("--scheduler is for --engine dask")
    if arguments.delimiter is not None and len(arguments.delimiter) != 1:
        raise SklineError(f"--delimiter is {arguments.delimiter!r}; it must be one character (a tab is $'\\t')")
    digest = arguments.digest or read_digest(paths.ARTIFACT_DIGEST)
    like = Settings.load().source if paths.PARAMS.exists() else None
    keep = [name for name in arguments.keep.split(",") if name]
    table = Input(arguments.table, Format(arguments.delimiter, arguments.encoding, arguments.member, like))
    engine = on_threads(jobs)
    if arguments.engine == "dask":
        from skline.batch.cluster import on_cluster

        engine = on_cluster(arguments.artifact, digest, arguments.scheduler, jobs)
    counts = score_table(table, PartScorer(arguments.artifact, digest, keep), arguments.out, engine)
    print(f"{_rows(counts.scored)} scored into {arguments.out}")
    if not counts.rejected:
        return 0
    print(f"{_rows(counts.rejected)} rejected into {counts.side_file}, with the reasons")
    return SOME_REJECTED


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
