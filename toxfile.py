"""tox loads this file first: it tells tox.ini which interpreter runs tox, so that one environment can use another."""

import os
import sys

from tox.plugin import impl

LARGE = {"solutions": "installs torch once more: 1.3 GB, some minutes", "parity": "installs torch"}


@impl
def tox_on_install(tox_env, arguments, section, of_type):
    """Say what takes long before it begins."""
    here = [*tox_env.env_dir.glob("lib/*/site-packages/torch"), *tox_env.env_dir.glob("Lib/site-packages/torch")]
    if of_type == "deps" and not here and (about := LARGE.get(tox_env.conf.name)):
        print(f"{tox_env.conf.name}: {about}", file=sys.stderr, flush=True)


os.environ["TOX_PYTHON"] = sys.executable
