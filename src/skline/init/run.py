"""`skline init`: set the project up for a table. Nothing is written unless the whole plan works."""

from pathlib import Path

from skline import engine, paths
from skline.errors import SklineError
from skline.init import project, pyproject
from skline.init.plan import InitOptions, make_plan
from skline.init.report import plan_report
from skline.settings.source import Source
from skline.sources.locate import PACKAGE, local_table


def init(root: Path, options: InitOptions) -> None:
    """Write the files of the project at `root` for a table, and print what was inferred.

    Raises
    ------
    SklineError
        If no model can be trained on the table, or a file that a person has edited would be replaced. Nothing is
        written then.
    """
    project.check_root(root)
    if not options.force:
        project.reject_edited_files(root)
    remote = _is_remote(options.table)
    with local_table(source_settings(options)) as path:
        copy = None if remote else project.project_table_path(root, path)
        if copy is not None and not options.force:
            project.reject_other_table(root, path, copy)
        plan = make_plan(path, options.table if copy is None else copy.as_posix(), options)
        actions = [] if copy is None else project.copy_table(root, path, copy)
    declared = (root / paths.PYPROJECT).read_bytes()
    actions += project.write_files(root, plan.files)
    actions += pyproject.set_name(root, plan.name)
    if (root / paths.PYPROJECT).read_bytes() != declared:
        actions += pyproject.update_lock(root)
    actions += project.set_readme_title(root, plan.title)
    if engine.sync(root / paths.ENGINE):
        actions.append(f"recorded in {paths.ENGINE} that skline {engine.version()} makes the results")
    actions += project.prepare_repository(root)
    if copy is not None:
        actions += project.track_table(root, copy)
    print(plan_report(plan, actions))


def source_settings(options: InitOptions) -> Source:
    """Return where the table is, as settings; raises SklineError if it is a local file that does not exist."""
    if not _is_remote(options.table) and Path(options.table).expanduser().is_dir():
        raise SklineError(f"{options.table} is a folder; name a file in it")
    if not _is_remote(options.table) and not Path(options.table).expanduser().is_file():
        raise SklineError(
            f"there is no file {options.table!r}; name a CSV, TSV, Excel or Parquet file, plain or compressed (gz, "
            "zip), a URL, or a database URL with --query"
        )
    return Source(uri=options.table, query=options.query)


def _is_remote(table: str) -> bool:
    """Whether the table is not a local file, so that it is not copied into the project."""
    return "://" in table or table.startswith(PACKAGE)
