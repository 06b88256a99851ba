"""`skline init`: from a table to the files of a project."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from skline.contract.derive import derive_module
from skline.contract.spec import Contract
from skline.errors import SklineError
from skline.init import project
from skline.init.contract_source import contract_source
from skline.init.divide import choose_split
from skline.init.features import describe
from skline.init.gates import choose_gates
from skline.init.guess import Guess
from skline.init.leaks import find_leaks
from skline.init.names import words
from skline.init.other_sources import params_source, source_source
from skline.init.pipeline_source import TargetFacts, pipeline_source
from skline.init.report import columns_table, to_look_at
from skline.init.roles import find_group, find_ids, find_time, leave_out_useless
from skline.init.table import Table, load
from skline.init.task import Decided, decide
from skline.init.trial import imported, tried
from skline.settings_source import Source
from skline.sources import sql
from skline.sources.locate import PACKAGE, local_table

#: What the column is called that an input is copied to for the split by time.
EVENT_TIME = "event_time"


@dataclass(frozen=True)
class Wishes:
    """What the user says on the command line."""

    table: str
    target: str
    task: str | None = None
    time: str | None = None
    group: str | None = None
    id: str | None = None
    name: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    query: str | None = None
    force: bool = False


@dataclass
class Plan:
    """What init would write, and why."""

    files: dict[Path, str]
    guesses: list[Guess]
    decided: Decided
    contract: Contract
    split: str
    remarks: list[str]
    n_rows: int
    title: str


def init(root: Path, wishes: Wishes) -> None:
    """Carry out `skline init` in the project at `root`, and tell what was guessed.

    Raises
    ------
    SklineError
        If the table cannot work, or a file was edited; then nothing is written.
    """
    project.check_root(root)
    remote = "://" in wishes.table or wishes.table.startswith(PACKAGE)
    with local_table(source_of(wishes)) as path:
        place = None if remote else project.copy_table(root, path)
        plan = make_plan(path, wishes.table if place is None else place.as_posix(), wishes)
        if not wishes.force:
            project.refuse_edited(root, plan.files)
        done = [] if place is None else project.put_table(root, path, place, force=wishes.force)
    done += project.write(root, plan.files)
    done += project.title_readme(root, plan.title)
    done += project.prepare_repository(root)
    tell(plan, done)


def source_of(wishes: Wishes) -> Source:
    """Say where the table is, as params.yaml would; SklineError names a file that is not there."""
    here = "://" not in wishes.table and not wishes.table.startswith(PACKAGE)
    if here and not Path(wishes.table).expanduser().is_file():
        raise SklineError(
            f"there is no file {wishes.table!r}; give the path of a csv, tsv or Parquet file (gz and zip as well), a "
            "URL, or a database's with --query"
        )
    return Source(uri=wishes.table, query=wishes.query)


def make_plan(path: Path, uri: str, wishes: Wishes) -> Plan:
    """Guess everything, write the files' texts, and try them on the table."""
    table = load(path, uri, wishes.delimiter, wishes.encoding, wishes.query)
    called = Path(uri).name if wishes.query is None else sql.name_of(uri)
    guesses, target = table.guesses, named(table, wishes.target, "--target")
    target.part = "target"
    for option in ("time", "group", "id"):
        if (wanted := getattr(wishes, option)) is not None:
            named(table, wanted, f"--{option}")
    decided = decide(target, wishes.task)
    target.choices = decided.classes
    target.reasons.append(f"{decided.task}: {decided.reason}")
    target.looks += [decided.look] if decided.look else []
    if decided.task == "regression" and target.kind == "integer":
        target.kind, target.values = "number", target.values.astype("float64")
    time = assign_parts(table, target, decided, wishes)
    event_time = make_event_time(guesses, time)
    for guess in guesses:
        if guess.part == "input":
            describe(guess)
    name = slug_of(wishes.name or called.split(".")[0])
    text = contract_source(guesses, target, event_time, called)
    with imported(text) as declared:
        contract = derive_module(declared)
        source_text = source_source(event_time.name if event_time else None, time.name if time else None)
        rows, remarks = tried(table, declared, contract, event_time, time)
        by_group = any(guess.part == "group" for guess in guesses)
        split, why, look = choose_split(rows, contract, by_time=time is not None, by_group=by_group)
    title = f"{words(name)}: {words(target.name)}"
    files = {
        project.CONTRACT: text,
        project.SOURCE: source_text,
        project.PIPELINE: pipeline_source(contract, TargetFacts.of(rows[contract.target.name], contract.task)),
        Path("params.yaml"): params_source(
            name,
            title,
            table.source,
            split,
            choose_gates(rows[contract.target.name], contract.task, len(rows) // 5),
            len(rows) // 5,
            contract.task,
        ),
    }
    remarks = [*table.remarks, *remarks, *([look] if look else [])]
    return Plan(files, guesses, decided, contract, f"{split['kind']}: {why}", remarks, table.n_rows, title)


def named(table: Table, name: str, option: str) -> Guess:
    """Return the column called `name`."""
    import difflib

    for guess in table.guesses:
        if guess.name == name:
            return guess
    names = [guess.name for guess in table.guesses]
    folded = {other.strip().lower(): other for other in reversed(names)}
    near = folded.get(name.strip().lower()) or next(iter(difflib.get_close_matches(name, names, n=1)), None)
    shown = ", ".join(map(repr, names[:30])) + (f" and {len(names) - 30} more" if len(names) > 30 else "")
    raise SklineError(
        f"{option}: the table has no column {name!r}"
        + (f"; did you mean {near!r}?" if near else "")
        + f" It has {shown}"
    )


def assign_parts(table: Table, target: Guess, decided: Decided, wishes: Wishes) -> Guess | None:
    """Decide which columns are inputs; returns the one that tells a row's time."""
    guesses = table.guesses
    time = find_time(guesses, wishes.time)
    if wishes.time is not None and time is None:
        column = named(table, wishes.time, "--time")
        raise SklineError(f"--time: {wishes.time!r} is read as {column.kind} ({column.reasons[0]}), not as a date")
    if time is not None and wishes.time is not None and time.nullable:
        raise SklineError(
            f"--time: {wishes.time!r} is missing in {int(time.values.isna().sum()):,} rows; fill it or leave --time out"
        )
    group = find_group(guesses, wishes.group)
    if group is not None and wishes.time is not None and wishes.group is None:
        # What is asked for comes before what is guessed, and no group may be in two parts of a split.
        group.leave_out("left out", f"{group.reasons[-1]}; the split is by time, as asked")
        group.looks[-1:] = ["say --group as well, if rows of one of them must stay together in the split"]
        group = None
    find_ids(guesses, wishes.id, table.repeated)
    leave_out_useless(guesses, target)
    inputs = [guess for guess in guesses if guess.part == "input"]
    for leak in find_leaks(inputs, target, classes=decided.task != "regression"):
        for guess in guesses:
            if guess.name in leak.columns:
                guess.leave_out("leak", leak.reason)
    if not any(guess.part == "input" for guess in guesses):
        found = "; ".join(
            f"{guess.name}: {guess.part}, {guess.reasons[-1]}" for guess in guesses if guess.part != "target"
        )
        raise SklineError(
            f"no column is left to predict {target.name!r} from ({found or 'the table has no other'}); add columns "
            "that are known before the target is"
        )
    return time if (time is not None and time.part == "input" and group is None) or wishes.time else None


def make_event_time(guesses: list[Guess], time: Guess | None) -> Guess | None:
    """Make the column of `Labelled` that a split by time goes by: a copy of the input that tells it."""
    if time is None:
        return None
    taken = {guess.name for guess in guesses}
    name = EVENT_TIME
    while name in taken:
        name += "_"
    copy = dataclasses.replace(
        time, name=name, part="time", reasons=[f"copy of {time.name!r}, to split by"], looks=[], written=None
    )
    copy.values = time.values
    return copy


def slug_of(name: str) -> str:
    """Write a name as images and models are called."""
    text = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:64]
    return text or "model"


def tell(plan: Plan, done: list[str]) -> None:
    """Print what was guessed and done."""
    inputs = sum(guess.part == "input" for guess in plan.guesses)
    print(columns_table(plan.guesses))
    print()
    print(f"{plan.n_rows:,} rows, {inputs} inputs; {plan.decided.task} ({plan.decided.reason}); split {plan.split}")
    print(to_look_at(plan.guesses, plan.remarks))
    print()
    print("\n".join(done) if done else "Nothing changed: the project is as this table asks.")
    print("Next: look through src/model/contract.py, then `uv run dvc repro` and `uv run skline serve`")
