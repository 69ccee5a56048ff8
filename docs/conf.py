"""How sphinx builds these pages. Nothing here imports torch, and nothing is fetched from the network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dojo.catalog.curriculum import katas, parts

project = "LLM Katas"
copyright = "the LLM Katas contributors"
html_title = project

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # so that one page can link to a section of another

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "native"


def setup(app):
    app.connect("source-read", list_katas)


def list_katas(app, page, source):
    """Where an index says so, list the parts, or the katas of its part, in the order of katas/curriculum.toml."""
    if page.rpartition("/")[2] != "index":
        return
    part = page.removesuffix("/index")
    names = [f"{part}/index" for part in parts()] if page == "index" else [k.name for k in katas() if k.part == part]
    toctree = "\n".join(["```{toctree}", ":maxdepth: 2", ":titlesonly:", "", *names, "```"])
    source[0] = source[0].replace("<!-- katas -->", toctree)
