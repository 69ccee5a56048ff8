"""tox loads this file before tox.ini: it tells which interpreter runs tox, so that one environment can use another's."""

import os
import sys

os.environ["TOX_PYTHON"] = sys.executable
