"""The commands of `dojo`. Each is imported when it is called, so that the map comes at once."""

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from dojo import ROOT
from dojo.catalog.curriculum import Kata, NoCurriculum, UnknownKata, find, katas, short
from dojo.errors import DojoError, UsageProblem
from dojo.exits import Exit
from dojo.learner import store
from dojo.system import packages, terminal

Command = TypeVar("Command", bound=Callable[..., Any])

# What each command does, which the list of commands shows without importing one.
COMMANDS = {
    "watch": "Save a file, see the verdict.",
    "test": "Test a kata and show the verdict.",
    "spec": "Show what a kata asks for.",
    "hint": "Show a hint, one rung more each time.",
    "open": "Open a kata in your editor.",
    "reset": "Write the stub again; --undo brings your file back.",
    "diff": "Compare your code with the reference.",
    "hunt": "Hide one edit in a copy of your own green code, and find it.",
    "next": "Show the kata to continue with.",
    "status": "Show where you stand, as `dojo` alone does.",
    "list": "Show every kata.",
    "report": "Test every kata that is begun, and tell where you stand.",
    "group": "Make one table of the reports that a study group shares.",
    "train": "Train a GPT made of your own pieces on a text.",
    "generate": "Let a model that you have trained continue a text.",
    "look": "Draw what a model does with a text: where its heads look, what its layers would say.",
    "finetune": "Train a model of yours to tell wanted messages from unwanted ones.",
    "classify": "Ask a fine-tuned model whether a message is wanted.",
    "bench": "Compare the speed of your own pieces with that of others; each is checked first.",
    "update": "Take a release's new katas, docstrings and tests; what you wrote stays.",
    "doctor": "Check the installation, and say how to fix it.",
    "completion": "Print a shell's completion script.",
    "help": "Show what a command does.",
}

HELP = """Write GPT piece by piece: each kata is a stub, a specification and tests.

`dojo` alone shows the map and what to do next.

KATA is an address (attention/causal), its last word (causal), or the beginning of either, as long as it is clear.
Without KATA, the command takes the file that you saved last and have not tested since; if there is none, the next
kata on the map.
"""
EXIT_CODES = """\b
Exit codes:
  0    green, or done
  1    red, or you answered no
  2    the command, the installation or a file is not as it has to be
  3    no verdict: the run crashed, hung, or went over a limit
  130  stopped by Ctrl-C
"""


class KataName(click.ParamType):  # type: ignore[type-arg]
    """A kata on the command line, by address, last word or unique beginning."""

    name = "kata"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Kata:
        return value if isinstance(value, Kata) else find(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        with contextlib.suppress(NoCurriculum):
            names = [(short(kata), kata) for kata in katas()] + [(kata.address, kata) for kata in katas()]
            shown = [(name, kata) for name, kata in names if name.startswith(incomplete) and (incomplete or name)]
            if not incomplete:
                shown = names[: len(katas())]
            return [CompletionItem(name, help=kata.title) for name, kata in dict(shown).items()]
        return []


class Deferred(click.Command):
    """A command by its name and what it does; it is imported when it is called."""

    def make_context(self, info_name: str | None, args: list[str], **extra: Any) -> click.Context:  # type: ignore[override]
        command: click.Command = importlib.import_module(f"dojo.commands.{self.name}").command
        return command.make_context(info_name, args, **extra)


class Dojo(click.Group):
    """The group of commands: it turns what happens in one into an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return Deferred(name, short_help=COMMANDS[name]) if name in COMMANDS else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """A typing error in the command's name gets the nearest names."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS)
            meant = f" Did you mean {' or '.join(near)}?" if near else f" There are {', '.join(COMMANDS)}."
            with contextlib.suppress(UnknownKata):
                meant = f" Did you mean `dojo test {short(find(args[0]))}`?" if not near else meant
            raise click.UsageError(f"no command is called '{args[0]}'.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and hand on what the engine raises as the exceptions of click."""
        try:
            return super().invoke(ctx)
        except UsageProblem as problem:
            name = ctx.invoked_subcommand
            called = click.Context(self.get_command(ctx, name) or self, ctx, name) if name else ctx
            raise click.UsageError(str(problem), called) from None
        except DojoError as error:
            raise click.ClickException(str(error)) from None

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        if not standalone_mode:
            return click.Group.main(self, *args, standalone_mode=False, **extra)  # type: ignore[call-overload]
        terminal.prepare()
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                with contextlib.suppress(ValueError):  # not in the main thread
                    signal.signal(getattr(signal, name), _end)
        sys.exit(_flushed(_exit_code(lambda: self.main(*args, standalone_mode=False, **extra))))


def _end(number: int, _frame: Any) -> NoReturn:
    raise SystemExit(128 + number)


def _exit_code(run: Callable[[], Any]) -> int:
    """Run a command and return its exit code; whatever stops it is told in a line."""
    try:
        result = run()
        return result if isinstance(result, int) else Exit.DONE
    except (KeyboardInterrupt, click.Abort):
        terminal.say("\nstopped.", to_stderr=True)
        return Exit.STOPPED
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = f"  (`{context.command_path} --help` tells more)" if context and context.parent else ""
        terminal.say(("dojo: ", "bold red"), error.format_message(), (where, "dim"), to_stderr=True)
        return Exit.UNUSABLE
    except BrokenPipeError:
        terminal.reader_gone(sys.stdout)
        return Exit.DONE
    except Exception as error:
        if isinstance(error, OSError) and (why := terminal.unwritable(error)):
            return _lost(why)
        if isinstance(error, ModuleNotFoundError) and (package := packages.missing(error)):
            return packages.tell(package)
        return _blamed(error)


def _blamed(error: Exception) -> int:
    """Tell an error that came out of a learner's file, which may be green and still not fit; raise any other."""
    from dojo.verdict.explain import first_line, frames_of

    known = {kata.stub: short(kata) for kata in katas()}
    own = [frame for frame in frames_of(error) if frame.path in known]
    if not own:
        raise error
    terminal.say(("dojo: ", "bold red"), first_line(error), to_stderr=True)
    terminal.say(f"your line: {own[-1].place}  {own[-1].code}", to_stderr=True)
    told = f"next: dojo test {known[own[-1].path]}, or the same command with --solutions, which does not use your files"
    terminal.say(told, to_stderr=True)
    return Exit.UNUSABLE


def _flushed(code: int) -> int:
    """An exit code, when all that was said is written; another one where that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.reader_gone(sys.stdout)
    except OSError as error:
        return _lost(terminal.unwritable(error) or str(error))
    return code


def _lost(why: str) -> int:
    terminal.say(("dojo: ", "bold red"), why, to_stderr=True)
    return Exit.UNUSABLE


def kata_argument() -> Callable[[Command], Command]:
    """The KATA of a command; where it is left out, it is the one that `next_of` chooses."""

    def chosen(ctx: click.Context, param: click.Parameter, value: Kata | None) -> Kata | None:
        if value is not None or ctx.resilient_parsing:
            return value
        from dojo.learner.standing import UNDER_WAY, next_of, standings

        one = next_of(standings())
        if one is None:
            raise click.UsageError("every kata is done: name the one you mean.", ctx)
        if not ctx.params.get("as_json"):
            why = "saved last" if one.state in UNDER_WAY else "the next on the map"
            terminal.say((f"{short(one.kata)}: {why}", "dim"), to_stderr=True)
        return one.kata

    return click.argument("kata", type=KataName(), required=False, callback=chosen)


def all_of(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in this order, for the commands that share them."""

    def with_options(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return with_options


def json_option() -> Callable[[Command], Command]:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def confirmed(question: str, yes: bool) -> bool:
    """Ask, unless the answer was given with --yes. Without anybody to answer, that is an error of usage."""
    if yes:
        return True
    terminal.say(question, " [y/N] ", end="")
    answer = sys.stdin.readline()
    if not answer:
        terminal.say()
        raise click.UsageError("this asks a question, and nobody can answer here: pass --yes if you mean it.")
    return answer.strip().lower() in ("y", "yes")


def warn_of_another_clone() -> None:
    """Say so when this dojo belongs to another clone than the folder it is called in."""
    with contextlib.suppress(OSError):
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / "katas" / "curriculum.toml").exists():
                if not os.path.samefile(folder, ROOT):
                    line = f"note: this is the dojo of {ROOT}; for {folder} run `python -m dojo` there."
                    terminal.say((line, "magenta"), to_stderr=True)
                return


def _end_what_was_killed() -> None:
    """Bring what killed commands have left to an end."""
    if (store.FOLDER / "update.json").exists():
        from dojo.update import journal

        for line in journal.recover():
            terminal.say((line, "magenta"), to_stderr=True)
    store.sweep()


def _version(ctx: click.Context, param: click.Parameter, asked: bool) -> None:
    """Print the version that pyproject.toml states: it is right also where dojo is not installed."""
    if asked and not ctx.resilient_parsing:
        terminal.say(f"dojo {packages.project().get('version', 'of an unknown version')}")
        ctx.exit()


@click.group(
    cls=Dojo,
    invoke_without_command=True,
    help=HELP,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@json_option()
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.pass_context
def dojo(ctx: click.Context, as_json: bool) -> None:
    if ctx.invoked_subcommand != "doctor" and not ctx.resilient_parsing:
        warn_of_another_clone()
    if not ctx.resilient_parsing:
        _end_what_was_killed()
    if ctx.invoked_subcommand is None:
        from dojo.commands import the_map

        the_map.show(as_json)
    elif as_json:
        raise click.UsageError(f"write --json after the command: dojo {ctx.invoked_subcommand} ... --json")
