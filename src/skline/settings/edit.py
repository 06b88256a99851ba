"""Change one setting in the text of params.yaml: comments, order and quotes of all others stay as they are."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skline.errors import SklineError
from skline.paths import PARAMS

if TYPE_CHECKING:
    from yaml import MappingNode, Node

#: A value that can be written in one line.
Value = float | int | str | Mapping[str, float | int | str] | None


def set_value(text: str, section: str, name: str, value: Value) -> str:
    """Return the text of params.yaml with another value of a setting, which is added if it is not there.

    Parameters
    ----------
    text : str
        Valid YAML.
    section, name : str
        The setting `name` of a section at the top level. A missing section is appended.
    value : number, str, or mapping of str to number or str
        Written in one line, a mapping in braces. A comment within the lines of an earlier mapping goes with it.

    Raises
    ------
    SklineError
        If the text is written in a way in which this setting alone cannot be changed, such as with aliases.
    """
    import yaml

    expected = copy.deepcopy(yaml.safe_load(text) or {})
    expected[section] = (expected.get(section) or {}) | {name: dict(value) if isinstance(value, Mapping) else value}
    edited = _edit(text, section, name, _one_line(value))
    try:
        is_right = yaml.safe_load(edited) == expected
    except yaml.YAMLError:
        is_right = False
    if not is_right:
        raise SklineError(
            f"{section}.{name} cannot be changed alone in {PARAMS}, because of how the section {section} is written; "
            f"write `{name}: {_one_line(value)}` there by hand"
        )
    return edited


def _edit(text: str, section: str, name: str, value: str) -> str:
    """Replace or insert the value; whether the result is right is for the caller to check."""
    import yaml

    root = yaml.compose(text)
    holder = _find(root, section)
    if holder is None:
        end = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{end}\n{section}:\n  {name}: {value}\n"
    key, node = holder
    if not isinstance(node, yaml.MappingNode) or not node.value:  # `train:` or `train: {}`
        return f"{text[: key.end_mark.index]}:\n  {name}: {value}{text[max(_end(node), key.end_mark.index + 1) :]}"
    setting = _find(node, name)
    if setting is not None:
        return f"{text[: setting[0].end_mark.index]}: {value}{text[_end(setting[1]) :]}"
    start = node.start_mark
    separator = ", " if node.flow_style else "\n" + " " * start.column
    place = start.index + 1 if node.flow_style else start.index
    return f"{text[:place]}{name}: {value}{separator}{text[place:]}"


def _find(node: "Node | None", name: str) -> "tuple[Node, Node] | None":
    """Return the nodes of the key `name` and of its value in a mapping; None if it has no such key."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _end(node: "Node") -> int:
    """Return where the text of a node ends: a block mapping's own mark includes the comments and lines after it."""
    import yaml

    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _end_of_last(node)
    return int(node.end_mark.index)


def _end_of_last(node: "MappingNode") -> int:
    return _end(node.value[-1][1])


def _one_line(value: Value) -> str:
    """Return a value as YAML in one line."""
    import yaml

    if isinstance(value, Mapping):
        plain: dict[str, Any] = dict(value)
        return yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=1000).strip()
    return repr(value) if isinstance(value, float | int) else yaml.safe_dump(value).splitlines()[0]
