"""A page for `dvc plots` that draws without the network: DVC's own fetches Vega whenever it is opened."""

import subprocess
from pathlib import Path

from skline.errors import SklineError
from skline.files import write_text

#: Where DVC looks for page templates, seen from the project's root; git ignores it.
PAGE = Path(".dvc/plots/page.html")
#: What DVC's plot templates are written for.
VEGA_LITE = "5.21"


def page(javascript: str) -> str:
    """Return the page with its scripts inside; DVC puts the plots in the place of `{plot_divs}`."""
    inside = javascript.replace("</script", "<\\/script")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Plots</title>
{{refresh_tag}}
<style>body {{ font-family: sans-serif }}</style>
<script>
(() => {{ {inside} }})();
</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def install() -> None:
    """Write the page into `.dvc/` and tell this copy of the project (`.dvc/config.local`) to use it.

    Raises
    ------
    SklineError
        If this is no DVC project, or the package that holds Vega is not installed.
    """
    if not PAGE.parent.parent.is_dir():
        raise SklineError("there is no .dvc/ here; run this from the project's root")
    try:
        import vl_convert
    except ImportError:
        raise SklineError("vl-convert-python, which holds Vega, is not installed; it is in the group `dev`") from None
    write_text(PAGE, page(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed", VEGA_LITE)))
    name = PAGE.relative_to(".dvc").as_posix()
    subprocess.run(["dvc", "config", "--local", "plots.html_template", name], check=True)  # noqa: S603, S607
    print(f"{PAGE} written: the pages of `dvc plots show` and `dvc plots diff` fetch nothing from now on")
