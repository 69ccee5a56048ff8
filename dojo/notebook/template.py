"""One notebook for any kata: template.ipynb, filled in with the kata and with the learner's file as it is."""

import json
import string
from pathlib import Path
from typing import Any

from dojo import ROOT
from dojo.catalog.curriculum import Kata
from dojo.learner import store
from dojo.learner.standing import stub_text
from dojo.system import packages
from dojo.system.files import read_regular

TEMPLATE = Path(__file__).with_name("template.ipynb")
FOLDER = ROOT / "notebooks"


def write(kata: Kata) -> Path:
    """The notebook of a kata; one that is there already stays as it is. Raises CannotSave."""
    path = FOLDER / f"{kata.address.replace('/', '-')}.ipynb"
    if path.exists():
        return path
    try:
        FOLDER.mkdir(exist_ok=True)
    except OSError as error:
        raise store.unwritten(FOLDER, error) from None
    store.replace(path, (json.dumps(filled(kata), ensure_ascii=False, indent=1) + "\n").encode())
    return path


def filled(kata: Kata) -> dict[str, Any]:
    """The template with the kata's title, address and code, and the address of the repository."""
    try:
        code = read_regular(kata.stub).decode()
    except (OSError, UnicodeDecodeError):
        code = stub_text(kata)
    words = {
        "TITLE": kata.title,
        "ADDRESS": kata.address,
        "REPOSITORY": packages.repository() or "ADDRESS-OF-THE-REPOSITORY",
        "CODE": f"%%kata {kata.address}\n{code.rstrip()}\n",
    }
    notebook: dict[str, Any] = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = string.Template(cell["source"]).substitute(words)
    return notebook
