"""How sphinx builds these pages. Nothing here imports torch, and nothing is fetched from the network."""

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
