"""`dojo help`: what `--help` shows."""

import click


@click.command()
@click.argument("name", metavar="[COMMAND]", required=False)
@click.pass_context
def command(ctx: click.Context, name: str | None) -> None:
    """Show what a command does, or every command."""
    assert ctx.parent is not None
    ctx.parent.command.main([*([name] if name else []), "--help"], prog_name="dojo", standalone_mode=False)
