"""`dojo classify`: what a fine-tuned model makes of a message."""

import click

from dojo.datasets.messages import LABELS
from dojo.finetune.recipe import CLASSIFY, LORA, check
from dojo.system import devices, terminal


@click.command()
@click.argument("text")
@click.option("--run", "name", default="", metavar="NAME", help="Which fine-tuning; by default the last one.")
@click.option("--device", default="", help="cpu, cuda or mps; by default a GPU if there is one.")
@click.option("--solutions", is_flag=True, help="The reference alone, without your files.")
def command(text: str, name: str, device: str, solutions: bool) -> None:
    """Tell whether TEXT is a wanted message or an unwanted one, and how sure the model is."""
    device = devices.chosen(device, ("cuda", "mps"))

    from dojo.finetune.classifier import SUREST, katas, of_run
    from dojo.train import pieces, runs
    from dojo.train.ingredients import needed

    run = runs.latest(name, (CLASSIFY, LORA), "dojo finetune classify")
    used = katas(runs.latest(run.about(check)["base"]), run.kind)
    chosen = pieces.reference(used) if solutions else pieces.own_where_green(used, further=needed(device))
    chosen.serve()
    try:
        shares = of_run(run, device).probabilities(text)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    best = max(range(len(LABELS)), key=shares.__getitem__)
    terminal.say(
        (LABELS[best], "bold red" if best else "bold green"),
        f"  {min(shares[best], SUREST):.0%} sure  ",
        (f"({run.name})", "dim"),
    )
