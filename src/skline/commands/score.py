"""`skline score TABLE --out FILE`: score a table of any length with the model in service, or another one."""

import argparse
import sys

from skline import paths
from skline.commands import Subparsers
from skline.commands._model import add_model_options, selected_model
from skline.commands._tables import add_format_options
from skline.project import given_path

#: Exit status when every row was read and some were rejected.
SOME_REJECTED = 3


def add_parser(commands: Subparsers) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "score",
        help="score a table of any length with the model in service",
        description="Score a table of any length with the model in service, or the one that an option names. Exit "
        f"status: 0 if every row was scored, {SOME_REJECTED} if some rows were rejected into the side file, 1 if "
        "nothing was written, 2 for a mistake in the command.",
    )
    command.add_argument("table", type=given_path, help="CSV or TSV (also .gz, .bz2, .zst, .zip), Excel, or Parquet")
    command.add_argument(
        "--out", type=given_path, required=True, help="CSV or TSV (also .gz), or Parquet, by its suffix"
    )
    command.add_argument("--keep", default="", help="columns of the table to copy to the output, separated by commas")
    add_format_options(command, "source.delimiter; a tab for .tsv", "source.encoding, or what the file itself shows")
    add_model_options(command)
    command.add_argument(
        "--formulas",
        action="store_true",
        help="CSV and TSV: write texts that begin with =, +, - or @ as they are; by default they get an apostrophe in "
        "front, because spreadsheets run them",
    )
    command.add_argument(
        "--lookups",
        choices=("now", "given"),
        default="now",
        help="inputs that callers do not send: look them up now, or take them from the table (default: %(default)s)",
    )
    command.add_argument("--jobs", type=int, help="threads, or Dask processes (default: one per core)")
    command.add_argument("--engine", choices=("threads", "dask"), default="threads", help="(default: %(default)s)")
    command.add_argument(
        "--scheduler",
        help="address of a Dask scheduler (default: DASK_SCHEDULER_ADDRESS, else a cluster on this machine)",
    )
    command.set_defaults(run=score)


def score(arguments: argparse.Namespace) -> int:
    """Score the table, and print the numbers of rows that were scored and rejected."""
    from skline.artifact import CONTRACT
    from skline.batch.part import PartScorer
    from skline.batch.read import TableFormat, TableReader
    from skline.batch.run import available_cores, score_table, thread_engine
    from skline.contract.spec import Contract
    from skline.counting import counted
    from skline.errors import SklineError
    from skline.settings import Settings
    from skline.settings.source import Source

    jobs = available_cores() if arguments.jobs is None else arguments.jobs
    if jobs < 1:
        raise SklineError(f"--jobs is {jobs}; it must be at least 1")
    if arguments.scheduler and arguments.engine != "dask":
        raise SklineError("--scheduler needs --engine dask")
    if arguments.delimiter is not None and len(arguments.delimiter) != 1:
        raise SklineError(f"--delimiter is {arguments.delimiter!r}; it must be one character (a tab is $'\\t')")
    model = selected_model(arguments)
    source = Settings.load().source if paths.PARAMS.exists() else Source(uri="")
    contract = Contract.read(model.folder / CONTRACT)
    source = source.model_copy(update={"missing": contract.shared_missing(), "trim": contract.trim})
    keep = [name for name in arguments.keep.split(",") if name]
    table_format = TableFormat(
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
        member=arguments.member,
        default=source,
        sheet=arguments.sheet,
        skip=arguments.skip,
        skip_footer=arguments.skip_footer,
    )
    table = TableReader(arguments.table, table_format)
    said = len(table.remarks)
    for remark in table.remarks:
        print(remark, file=sys.stderr)
    engine = thread_engine(jobs)
    if arguments.engine == "dask":
        from skline.batch.cluster import cluster_engine

        engine = cluster_engine(model.folder, model.digest, arguments.scheduler, jobs)
    scorer = PartScorer(model.folder, model.digest, keep, arguments.lookups)
    counts = score_table(table, scorer, arguments.out, engine, escape_formulas=not arguments.formulas)
    for remark in [*table.remarks[said:], *counts.remarks]:
        print(remark, file=sys.stderr)
    print(f"{counted(counts.scored, 'row')} scored by {scorer.version} ({model.named_by}) into {arguments.out}")
    if not counts.rejected:
        return 0
    print(f"{counted(counts.rejected, 'row')} rejected into {counts.rejected_path}, with the reasons")
    return SOME_REJECTED
