"""Bring a release into a learner's clone: everything new comes, and no body that is written is touched.

The release is merged in a work tree of its own. Only when that has worked does the clone move, in one step of git, and
files with changes that are not committed are set aside before it and written again after it. What prevents the update
is found before anything is changed.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dojo import ROOT
from dojo.catalog.curriculum import Place, katas
from dojo.catalog.stubs import NotStubbable, stub_of
from dojo.errors import DojoError
from dojo.learner import store
from dojo.system import packages
from dojo.update import journal
from dojo.update.git import GitError, NoAnswer, file_at, git, paths, succeeds
from dojo.update.journal import Journal
from dojo.update.merge import CannotMerge, merged

NEW, FRESH, KEPT, GONE = "new", "fresh", "kept", "gone"
UTF_8 = ("utf-8", "surrogateescape")  # a file of a learner's comes out to the byte, whatever is in it


class CannotUpdate(DojoError):
    """Something prevents the update, and nothing was changed. The message says what it is and what to do."""


class StoppedHalfway(DojoError):
    """An update stopped after it had begun to change files. Says how far it came."""


@dataclass
class Change:
    """What an update does to one kata: `kind`, and what a learner should know of it."""

    address: str
    kind: str
    written: bool = False
    notes: list[str] = field(default_factory=list)
    tests: bool = False


@dataclass
class Update:
    """What an update brings: from one commit to another, kata by kata."""

    before: str
    after: str
    changes: list[Change]
    news: list[str]
    requirements: bool
    own_commits: bool

    @property
    def nothing(self) -> bool:
        return self.before == self.after and not self.changes


@dataclass
class Plan:
    """An update that has worked in a work tree of its own: the commit to move to, and what is written after that."""

    commit: str
    update: Update
    dirty: dict[str, bytes]  # files with changes that are not committed, as they are
    written: dict[str, bytes]  # the same files, as they will be


def default_release() -> str:
    """Where releases come from: the main branch of the remote `upstream`, or else of `origin`."""
    remotes = git("remote").split()
    remote = next((name for name in ("upstream", "origin") if name in remotes), None)
    if remote is None:
        raise CannotUpdate(
            "this clone has no remote that releases come from. "
            f"Add it once: git remote add upstream {packages.repository() or 'ADDRESS-OF-THE-REPOSITORY'}"
        )
    head = git("symbolic-ref", "-q", f"refs/remotes/{remote}/HEAD", check=False).strip()
    return head.removeprefix("refs/remotes/") or f"{remote}/main"


def fetch(release: str) -> None:
    """Ask the remote of a release for what is new; a commit, tag or branch of this clone needs no asking."""
    remote = release.partition("/")[0]
    remotes = git("remote").split()
    if remote not in remotes and succeeds("rev-parse", "-q", "--verify", f"{release}^{{commit}}"):
        return
    for name in [remote] if remote in remotes else remotes:
        try:
            git("fetch", "--tags", "--quiet", name)
        except GitError as error:
            raise CannotUpdate(f"{name} gave no releases. {error}") from None


def prepare(release: str) -> Plan:
    """Work out an update without changing anything of the clone. Raises CannotUpdate."""
    commit = _commit(release)
    if git("rev-parse", "--show-prefix").strip():
        raise CannotUpdate(f"{ROOT} is inside another git repository and is not a clone of its own.")
    for state in ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REBASE_HEAD"):
        if succeeds("rev-parse", "-q", "--verify", state):
            raise CannotUpdate("git is in the middle of something here: `git status` says what. Finish that first.")
    base = git("merge-base", "HEAD", commit, check=False).strip()
    if not base:
        raise CannotUpdate(
            f"{release} and this clone have no history in common. If the clone is shallow, "
            "`git fetch --unshallow` brings the rest; otherwise clone the release again, and there "
            "`dojo update --from FOLDER-OF-THIS-CLONE` brings over what you wrote."
        )
    head = git("rev-parse", "HEAD").strip()
    if base == commit:  # all of it is here; files may still lag behind, after a syntax error say
        after = head
    elif base == head:
        after = commit
    else:
        after = _merged_commit(base, commit, release)
    return _plan(base, head, after, commit)


def apply(plan: Plan) -> None:
    """Move the clone. Whatever happens, no file of the learner is lost.

    Raises CannotUpdate where everything is as it was before, and StoppedHalfway where it is not.
    """
    entry = Journal(plan.update.before, plan.commit, plan.dirty, plan.written)
    try:
        for path, content in plan.dirty.items():
            store.keep(path.removeprefix("katas/").removesuffix(".py"), content)
        before = _state()
        journal.begin(entry)
    except store.CannotSave as error:
        raise CannotUpdate(f"{error}.") from None
    except journal.NotEnded as error:
        raise CannotUpdate(str(error)) from None
    why, complete = "", False
    try:
        _move(plan)
    except GitError as error:
        why = str(error)
    finally:
        try:
            left = journal.end(entry, os.getpid())
            # git moves HEAD last: what it reports after that, a failed hook say, leaves the move complete.
            complete = not left and git("rev-parse", "HEAD").strip() == plan.commit
            why = why or (f"{_some(left)} changed meanwhile." if left else "HEAD was moved meanwhile.")
        except (GitError, store.CannotSave) as error:
            why = why or str(error)
    if complete:
        return
    if _unchanged(before):
        with contextlib.suppress(store.CannotSave):
            store.forget("", journal.NAME)
        raise CannotUpdate(why)
    raise StoppedHalfway(
        f"{why} The update stopped before its end: `git status` shows what it has changed. "
        "Your files are kept: `dojo reset --undo KATA` brings one back."
    )


def _move(plan: Plan) -> None:
    """Move the clone to the commit; what is not committed of the learner's makes way. Raises GitError."""
    if plan.update.before != plan.update.after:
        if plan.dirty:
            git("checkout", "-q", "HEAD", "--", *plan.dirty)
        git("merge", "-q", "--ff-only", plan.commit)


def _unchanged(before: str) -> bool:
    """Whether the clone is known to be in the state from before."""
    try:
        return _state() == before
    except GitError:
        return False


def _state() -> str:
    """The commit that the clone is at, and how its files differ from that."""
    return git("rev-parse", "HEAD") + git("diff", "HEAD") + git("status", "--porcelain")


def from_folder(other: Path) -> list[Change]:
    """Copy the function bodies of another copy of this repository, such as an older one, into the stubs here."""
    if not (other / "katas" / "curriculum.toml").is_file():
        raise CannotUpdate(f"{other} is not a copy of this repository: it has no katas/curriculum.toml.")
    changes = []
    for kata in katas():
        theirs, reference = other / _in_git(kata.stub), other / _in_git(kata.solution)
        if not (theirs.is_file() and reference.is_file() and kata.stub.is_file()):
            continue
        new, old = stub_of(_text(kata.solution)), stub_of(_text(reference))
        if _text(theirs).strip() == old.strip():
            continue
        if _text(kata.stub).strip() != new.strip():
            changes.append(Change(kata.address, KEPT, True, ["it is begun here already, and was left alone"]))
            continue
        try:
            result = merged(_text(theirs), old, new)
            store.replace(kata.stub, result.text.encode())
            changes.append(Change(kata.address, FRESH, True, result.notes))
        except CannotMerge as error:
            changes.append(Change(kata.address, KEPT, True, [f"not brought over: {error}"]))
    return changes


def _plan(base: str, head: str, after: str, release: str) -> Plan:
    """What moving from head to after does to the katas and to files with changes that are not committed."""
    changed = _changed(head, after)
    dirty = _changed("HEAD")
    untracked = paths("ls-files", "-z", "--others", "--exclude-standard")
    gone = _changed("--diff-filter=D", head, after)
    added = _changed("--diff-filter=A", head, after)
    own_files = {path for path in dirty if _is_kata(path)}
    if blocked := sorted((dirty - own_files) & changed):
        raise CannotUpdate(
            f"{_some(blocked)} changed here and in the release. Only files in katas/ are merged: "
            f"`git stash` puts your changes aside, `git stash pop` brings them back afterwards."
        )
    if blocked := sorted(untracked & added):
        raise CannotUpdate(f"the release brings {_some(blocked)}, and a file of yours is there. Move it away first.")
    # When all of the release is here, a file that could not be read the last time may still lag behind.
    looked_at = paths("ls-files", "-z", "katas") if head == after else changed | _changed(base, release)
    content, written, changes = {}, {}, []
    for path in sorted(own_files | set(filter(_is_kata, looked_at))):
        own = _text(ROOT / path) if (ROOT / path).is_file() else None
        change, text = _bring(path, base, release, own)
        withdrawn = change is not None and change.kind == GONE and head != after
        if path not in changed and text == (own or "") and not withdrawn:
            continue
        if own is not None and (path in own_files or head == after):
            content[path], written[path] = own.encode(*UTF_8), text.encode(*UTF_8)
        if change is not None:
            changes.append(change)
    changes = [*changes, *_new_tests(changed - gone, {change.address for change in changes})]
    for change in changes:
        change.tests = _in_git(Place(change.address).tests) in changed
    update = Update(
        before=head,
        after=after,
        changes=changes,
        news=_news(head, after),
        requirements=bool(changed & {"pyproject.toml", "constraints.txt"}),
        own_commits=after not in (head, release),
    )
    return Plan(after, update, content, written)


def _bring(path: str, base: str, release: str, own: str | None) -> tuple[Change | None, str]:
    """One kata's file brought to the release: what changes, and the text."""
    address = path.removeprefix("katas/").removesuffix(".py")
    new, old = file_at(release, path), _stub_at(base, address)
    if own is None:
        return (Change(address, NEW) if new is not None else None), new or ""
    if new is None:
        if old is None:
            return None, own
        untouched = own.strip() == old.strip()
        note = [] if untouched else ["it is no longer a kata; your file stays"]
        return Change(address, GONE, not untouched, note), own
    try:
        result = merged(own, old or new, new)
    except CannotMerge as error:
        return Change(address, KEPT, True, [f"your file was left alone: {error}"]), own
    return Change(address, FRESH, result.text.strip() != new.strip(), result.notes), result.text


def _merged_commit(base: str, release: str, name: str) -> str:
    """A commit that joins the learner's own commits and the release, made in a work tree of its own."""
    who = [] if git("config", "user.email", check=False).strip() else ["-c", "user.name=dojo", "-c", "user.email=dojo"]
    with _work_tree() as folder:
        try:
            git(*who, "merge", "--no-commit", "--no-ff", "-q", "-X", "no-renames", release, folder=folder)
        except NoAnswer:
            raise
        except GitError as error:  # conflicts are looked at below; whatever else there is ends it here
            if not succeeds("rev-parse", "-q", "--verify", "MERGE_HEAD", folder=folder):
                raise CannotUpdate(str(error)) from None
        changed = _changed(base, release)
        for path in filter(_is_kata, changed):
            _join(path, base, release, folder)
        if conflicts := sorted(paths("diff", "-z", "--name-only", "--diff-filter=U", folder=folder)):
            raise CannotUpdate(
                f"{_some(conflicts)} changed in your commits and in the release. Merge them by hand: git merge {name}"
            )
        git(*who, "-c", "commit.gpgsign=false", "commit", "-q", "--no-verify", "-m", f"Update to {name}", folder=folder)
        return git("rev-parse", "HEAD", folder=folder).strip()


def _join(path: str, base: str, release: str, folder: Path) -> None:
    """Bring one kata's committed file together with the release's, in the work tree of a merge."""
    own, began, wanted = (file_at(commit, path) for commit in ("HEAD", base, release))
    if own is None and began is None:
        return  # new in the release
    if wanted is None and own == began:
        git("rm", "-q", "-f", "--ignore-unmatch", "--", path, folder=folder)
        return
    _, text = _bring(path, base, release, own)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(text.encode(*UTF_8))
    git("add", "--", path, folder=folder)


@contextlib.contextmanager
def _work_tree() -> Iterator[Path]:
    """A work tree in .dojo/, at the HEAD of the clone, that is gone afterwards, also where this process is killed."""
    head = git("rev-parse", "HEAD").strip()
    try:
        journal.begin(Journal(head, head, {}, {}))
    except store.CannotSave as error:
        raise CannotUpdate(f"{error}.") from None
    except journal.NotEnded as error:
        raise CannotUpdate(str(error)) from None
    folder = Path(tempfile.mkdtemp(prefix=f".update.{os.getpid()}.", suffix=".tmp", dir=store.FOLDER))
    try:
        git("worktree", "add", "-q", "--detach", str(folder / "clone"), "HEAD")
        yield folder / "clone"
    finally:
        with contextlib.suppress(GitError):
            git("worktree", "remove", "--force", str(folder / "clone"))
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(GitError, store.CannotSave):
            git("worktree", "prune", check=False)
            store.forget("", journal.NAME)


def _new_tests(changed: set[str], known: set[str]) -> list[Change]:
    """The katas of which only the tests changed."""
    found = []
    for path in sorted(changed):
        part, _, name = path.removeprefix("tests/").rpartition("/")
        address = f"{part}/{name.removeprefix('test_').removesuffix('.py')}"
        if path.startswith("tests/") and name.startswith("test_") and part != "meta" and address not in known:
            own = Place(address).stub
            if own.is_file():
                found.append(Change(address, FRESH, _text(own).strip() != (_stub_at("HEAD", address) or "").strip()))
    return found


def _commit(release: str) -> str:
    commit = git("rev-parse", "-q", "--verify", f"{release}^{{commit}}", check=False).strip()
    if not commit:
        releases = git("tag", "--list", "v*", "--sort=-version:refname").split()
        known = f" Releases: {', '.join(releases[:5])}." if releases else ""
        raise CannotUpdate(
            f"there is no {release} here: name a branch such as upstream/main, a tag or a commit.{known}"
        )
    return commit


def _stub_at(commit: str, address: str) -> str | None:
    """The stub of a kata as a commit has it, by its reference: a learner's commits do not change that."""
    reference = file_at(commit, _in_git(Place(address).solution))
    try:
        return stub_of(reference) if reference is not None else None
    except (SyntaxError, NotStubbable):
        return None


def _news(before: str, after: str) -> list[str]:
    """The lines that the changelog has gained."""
    old, new = file_at(before, "CHANGELOG.md") or "", file_at(after, "CHANGELOG.md") or ""
    known = set(old.splitlines())
    return [line for line in new.splitlines() if line.startswith("- ") and line not in known]


def _changed(*words: str) -> set[str]:
    """The paths that differ, between two commits or between one and the files as they are."""
    return paths("diff", "-z", "--no-renames", "--name-only", *words)


def _is_kata(path: str) -> bool:
    return path.startswith("katas/") and path.endswith(".py") and not path.endswith("__init__.py")


def _in_git(path: Path) -> str:
    """A path as git has it."""
    return path.relative_to(ROOT).as_posix()


def _text(path: Path) -> str:
    return path.read_bytes().decode(*UTF_8)


def _some(found: list[str]) -> str:
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
