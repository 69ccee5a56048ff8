"""tox loads this file first: it tells tox.ini which interpreter runs tox, so that one environment can use another."""

import os
import sys

os.environ["TOX_PYTHON"] = sys.executable
