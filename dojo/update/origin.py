"""Whether `origin` is a copy of the original repository, a fork say, and what to type so that releases arrive."""

import re

from dojo.system import packages
from dojo.update.git import git

HOSTED = re.compile(r"(?:\w+://)?(?:[^@/]+@)?([^/:@]+\.[^/:@]+)(?::\d+)?[/:](.+?)(?:\.git)?/?", re.IGNORECASE)


def advice() -> str:
    """What to type in the clone of a copy that does not know the original; empty where nothing is missing.

    An origin that is not an address of a host, such as a folder, may be anything: nothing is said about it.
    """
    original = packages.repository()
    remotes = git("remote").split()
    if not original or "upstream" in remotes or "origin" not in remotes:
        return ""
    own, wanted = (HOSTED.fullmatch(text) for text in (git("config", "--get", "remote.origin.url").strip(), original))
    if own is None or wanted is None or _lower(own) == _lower(wanted):
        return ""
    return f"origin is a copy, and releases come from the original. Add it once: git remote add upstream {original}"


def _lower(match: re.Match[str]) -> list[str]:
    return [part.lower() for part in match.groups()]
