"""What is told when a fine-tuning has come to its end: accuracies beside the simplest rules, and which are mixed up."""

from collections.abc import Sequence
from typing import Any

from dojo.datasets.messages import Message, NaiveBayes, best_one_word_rule, majority_share
from dojo.finetune import calibration, confusion
from dojo.finetune.classifier import Classifier
from dojo.finetune.recipe import LORA
from dojo.learner import store
from dojo.system import terminal
from dojo.system.terminal import number
from dojo.train import curve
from dojo.train.opening import row
from dojo.train.session import Session
from dojo.train.summary import tell_chart


def tell(
    session: Session,
    made: Classifier,
    about: dict[str, Any],
    train: Sequence[Message],
    watched: Sequence[Message],
    test: Sequence[Message],
) -> None:
    """Measure a classifier on the messages held out, beside rules without a model, and tell it. Raises CannotSave."""
    accuracy, rule, bayes = made.accuracy(made.dataset(test)), best_one_word_rule(train), NaiveBayes(train)
    about["temperature"] = made.temperature = calibration.temperature(*made.logits(watched))
    logits, labels = made.logits(test)
    error, counts = calibration.calibration_error(logits / made.temperature, labels), confusion.counts(logits, labels)
    tell_chart(session, "message")
    row("held out", f"{accuracy:.1%} of {len(test)} messages are right{of_kinds(test)}")
    row("beside it", f"always the commoner label: {majority_share(test):.1%}; {rule}: {rule.accuracy(test):.1%}")
    row("", f"naive Bayes, which counts every word of the messages: {bayes.accuracy(test):.1%}")
    if accuracy <= bayes.accuracy(test):
        row("", f"Naive Bayes wins: {len(train)} messages are enough to count words, and few to learn from.")
    row("sureness", f"is off by {error:.1%} on average; the temperature, from those watched: {made.temperature:.2f}")
    terminal.say()
    for line in confusion.table(counts):
        terminal.say(f"  {line}")
    terminal.say()
    row("data", f"{about['data']}, SHA-256 {about['sha256']}")
    about["result"] = {"accuracy": accuracy, "majority": majority_share(test), "one_word": rule.accuracy(test)}
    about["result"] |= {"naive_bayes": bayes.accuracy(test), "calibration_error": error}
    run = session.run
    run.note(about)
    title = f"{about['kind']}, {number(session.total)} steps"
    curve.write(run.curve, curve.draw(session.history, title, "message"))
    curve.write(run.confusion, confusion.draw(counts, f"{accuracy:.1%} of {len(test)} messages held out"))
    if about["kind"] == LORA:
        tell_adapter(session, made)
    row("saved", f"{store.shown(run.folder)}: {run.curve.name}, {run.confusion.name}, checkpoint")


def of_kinds(messages: Sequence[Message]) -> str:
    """Of which kinds the messages are, where that is known: kinds that were not learned."""
    kinds = sorted({message.kind for message in messages if message.kind})
    return f", all of kinds that it has never seen: {', '.join(kinds)}" if kinds else ""


def tell_adapter(session: Session, made: Classifier) -> None:
    """Save what lora has learned by itself, and tell how little it is. Raises CannotSave."""
    from safetensors.torch import save

    content, whole = save(made.adapter()), sum(one.nbytes for one in made.model.state_dict().values())
    store.replace(session.run.adapter, content)
    share = len(content) / whole
    size = f"{number(len(content) / 1000)} KB, {share:.1%} of the whole model's size"
    row("adapter", f"{session.run.adapter.name}: {size}")
