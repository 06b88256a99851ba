"""`skline init`: set the project up for a table. Nothing is written unless the whole plan works."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from skline import engine, paths
from skline.errors import SklineError
from skline.init import project, pyproject, table_copy
from skline.init.codegen.libraries import LIBRARIES
from skline.init.plan import InitOptions, make_plan
from skline.init.report import plan_report
from skline.settings.project import read_source_section
from skline.settings.source import Source
from skline.settings.source_kinds import PAGE, kind_of
from skline.sources.dialect import detect_dialect
from skline.sources.files import has_several_files
from skline.sources.kinds import table_source
from skline.sources.locate import PACKAGE
from skline.sources.unreadable import readable_rows


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
    source = source_settings(options)
    copy = None if _is_remote(options.table) else table_copy.plan_copy(root, options.table)
    if copy is not None:
        table_copy.reject_further_files(root, copy)
        if not options.force:
            table_copy.reject_other_tables(root, copy)
    remarks: list[str] = []
    with table_source(source).first_of_several() as first:
        if first is not None:
            options, remarks = with_dialect(options, first)
            source = as_written(source_settings(options))
    with table_source(source).local() as table, readable_rows(table.path, remarks.append) as path:
        options = with_page_columns(options, source, table.lineage)
        plan = make_plan(path, options.table if copy is None else copy.uri, options)
        actions = [] if copy is None else table_copy.copy_files(root, copy)
    plan.remarks[:0] = remarks
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
        actions += table_copy.track_copy(root, copy)
    if options.estimator in LIBRARIES:
        actions.append(
            f"the image needs {options.estimator} too: once `dvc repro` has run, `uv run just requirements` writes it "
            "into requirements/serving.txt"
        )
    print(plan_report(plan, actions))


def source_settings(options: InitOptions) -> Source:
    """Return where the table is, as settings; raises SklineError if it is a local file that does not exist."""
    is_local = not _is_remote(options.table) and not has_several_files(options.table)
    if is_local and not Path(options.table).expanduser().is_file():
        raise SklineError(
            f"there is no file {options.table!r}; name a CSV, TSV, Excel, JSON lines or Parquet file, plain or "
            "compressed (gz, zip, zst), a folder or a pattern of such files, a URL, or a database URL with --query"
        )
    return read_source_section(options.address(options.table))


def with_dialect(options: InitOptions, first: Path) -> tuple[InitOptions, list[str]]:
    """Return the options with the dialect of the first of several files, and remarks about it."""
    dialect = detect_dialect(first, options.source_settings())
    remarks = [f"{first.name}: {remark}" for remark in dialect.remarks]
    return dataclasses.replace(options, settings={**options.settings, **dialect.source}), remarks


def with_page_columns(options: InitOptions, source: Source, lineage: Mapping[str, object]) -> InitOptions:
    """Return the options with the columns of a web page's table, so that a change of them is noticed later."""
    if kind_of(source.uri) is not PAGE:
        return options
    page = {**options.settings.get("page", {}), "columns": lineage["columns"]}
    return dataclasses.replace(options, settings={**options.settings, "page": page})


def as_written(source: Source) -> Source:
    """Return settings with which cells are read as they are written: each column decides what they mean in it."""
    return source.model_copy(update={"missing": ("",), "trim": False})


def _is_remote(table: str) -> bool:
    """Whether the table is not a local file, so that it is not copied into the project."""
    return "://" in table or table.startswith(PACKAGE)
