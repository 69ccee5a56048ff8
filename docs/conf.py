"""How sphinx builds these pages. Nothing here imports torch, and nothing is fetched from the network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from docutils import nodes

from docs import pages
from dojo.system import terminal

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
    app.connect("source-read", complete)
    app.connect("doctree-resolved", draw_inline)
    app.connect("doctree-resolved", hold_numbers)


def complete(app, page, source):
    """Put lists of katas and clauses where the pages name them."""
    source[0] = pages.complete(page, source[0])


def draw_inline(app, tree, page):
    """Take each figure into the page itself: its text can then be selected and read aloud, and it follows the theme."""
    for image in list(tree.findall(nodes.image)) if app.builder.format == "html" else []:
        path = Path(app.srcdir) / image["uri"]
        if path.suffix == ".svg":
            image.replace_self(nodes.raw("", pages.inline(path, image.get("alt", "")), format="html"))


def hold_numbers(app, tree, page):
    """Let no line end within a number such as 10 000."""
    for text in list(tree.findall(nodes.Text)):
        if not isinstance(text.parent, nodes.literal | nodes.literal_block | nodes.raw):
            text.parent.replace(text, nodes.Text(terminal.held(text)))
