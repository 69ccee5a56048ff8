"""`dojo completion`: what a shell needs to complete commands and katas."""

import click

from dojo.system import terminal

WAYS = {
    "bash": 'eval "$(dojo completion bash)"    # in ~/.bashrc (bash 4.4 or newer)',
    "zsh": 'eval "$(dojo completion zsh)"     # in ~/.zshrc, after compinit',
    "fish": "dojo completion fish | source     # in ~/.config/fish/config.fish",
}


@click.command(
    help="Print the script that makes a shell complete commands and katas.\n\nTo switch it on for good, add the line "
    "of your shell:\n\n\b\n" + "\n".join(WAYS.values()),
)
@click.argument("shell", type=click.Choice(list(WAYS)))
def command(shell: str) -> None:
    from click.shell_completion import get_completion_class

    from dojo.cli import dojo

    chosen = get_completion_class(shell)
    assert chosen is not None  # the choice lists what click knows
    terminal.say(chosen(dojo, {}, "dojo", "_DOJO_COMPLETE").source())
