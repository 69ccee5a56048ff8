"""A trained model with a head for classes, what of it is trained, and the messages that it learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click
import torch
from torch import nn

from dojo.datasets.messages import LABELS, Message
from dojo.finetune import batches
from dojo.finetune.options import LORA, Settings
from dojo.learner import store
from dojo.train import END_OF_TEXT, LOOP, MODEL, pieces, saved
from dojo.train.folder import Run, latest
from dojo.train.loop import Session, seed
from dojo.train.parallel import Team, own_device

CLASSIFICATION, ADAPTER = "finetuning/classification", "finetuning/lora"
# The katas that fine-tuning takes; lora takes ADAPTER too.
KATAS = ("text/bpe_tokenizer", *MODEL, *LOOP, CLASSIFICATION)


@dataclass
class Classifier:
    """A model that tells wanted from unwanted, its tokenizer, and how many tokens of a message it reads at most."""

    model: nn.Module
    tokenizer: Any
    max_length: int

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.encode(END_OF_TEXT)[0])

    def dataset(self, messages: Sequence[Message]) -> Any:
        return batches.dataset(messages, self.tokenizer, self.pad_id, self.max_length)

    def accuracy(self, items: Any) -> float:
        """The share of a dataset's messages that it has right."""
        right: float = pieces.module(CLASSIFICATION).accuracy(self.model, batches.to_test(items))
        return right

    def probabilities(self, text: str) -> list[float]:
        """How likely each label is. Raises ValueError for a text without a token."""
        ids = self.tokenizer.encode(text)[: self.max_length]
        if not ids:
            raise ValueError("there is nothing to classify in an empty text")
        with torch.no_grad():
            row = torch.tensor([ids], device=next(self.model.parameters()).device)
            logits = pieces.module(CLASSIFICATION).last_token_logits(self.model.eval(), row)  # (1, classes)
        shares: list[float] = logits[0].softmax(-1).tolist()
        return shares

    def choices(self, messages: Sequence[Message]) -> list[list[int]]:
        """How often messages of each label, in rows, are taken for each label, in columns."""
        counts = [[0] * len(LABELS) for _ in LABELS]
        last = pieces.module(CLASSIFICATION).last_token_logits
        with torch.no_grad():
            for inputs, lengths, labels in batches.to_test(self.dataset(messages)):
                for label, choice in zip(labels, last(self.model.eval(), inputs, lengths).argmax(-1), strict=True):
                    counts[int(label)][int(choice)] += 1
        return counts

    def adapter(self) -> dict[str, torch.Tensor]:
        """What lora has learned: the adapters and the head, and nothing of the model below them."""
        whole = self.model.state_dict()
        head = {name: one.detach().clone() for name, one in whole.items() if name.startswith("out_head.")}
        return pieces.module(ADAPTER).lora_state_dict(self.model) | head


def classifier(base: Run, settings: Settings, device: str) -> Classifier:
    """A run's model with a new head, and with adapters for lora, of which only what is to be learned is trainable."""
    speaker = saved.of_run(base, device)
    seed(settings.seed)
    classification = pieces.module(CLASSIFICATION)
    if settings.kind == LORA:
        classification.add_classification_head(speaker.model, len(LABELS), 0)
        pieces.module(ADAPTER).apply_lora(speaker.model, settings.rank, settings.alpha, settings.targets)
        speaker.model.out_head.requires_grad_(True)
    else:
        classification.add_classification_head(speaker.model, len(LABELS), settings.trainable_blocks)
    return Classifier(speaker.model, speaker.tokenizer, speaker.context_length)


def of_run(run: Run, device: str) -> Classifier:
    """The classifier of a fine-tuning: from its checkpoint, or for lora from its base and its adapter alone.

    Raises ClickException where one of the files is gone, or does not fit; UsageError where the base is.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    about = run.about()
    settings = Settings.of_data(about["settings"])
    made = classifier(latest(about["base"]), settings, device)
    made.max_length = about["max_length"]
    path = run.adapter if settings.kind == LORA else run.checkpoint
    try:
        if settings.kind == LORA:
            state = load_file(path)
            head = {name: state.pop(name) for name in list(state) if name.startswith("out_head.")}
            pieces.module(ADAPTER).load_lora_state_dict(made.model, state)
            made.model.load_state_dict(head, strict=False)
        else:
            made.model.load_state_dict(saved.weights(path))
    except FileNotFoundError:
        again = f"dojo finetune {settings.kind} --resume"
        raise click.ClickException(f"{run.name} has not come to its end: `{again}` goes on with it.") from None
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise click.ClickException(f"{store.shown(path)} cannot be loaded: {str(error).splitlines()[0]}") from None
    return made


def open_session(
    run: Run,
    made: Classifier,
    settings: Settings,
    train: Sequence[Message],
    validation: Sequence[Message],
    device: str,
) -> Session:
    """All that the loop of pretraining needs to teach a classifier, taken up where the run stands."""
    learning = [parameter for parameter in made.model.parameters() if parameter.requires_grad]
    optimizer = pieces.module("pretraining/optimizer").AdamW(
        learning, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    generator = torch.Generator().manual_seed(settings.seed)
    session = Session(
        run,
        Team(),
        made.model,
        optimizer,
        batches.to_learn(made.dataset(train), settings.batch_size, generator),
        batches.to_watch(made.dataset(validation)),
        own_device(device),
        settings.epochs,
        settings.batch_size * made.max_length,
        settings.learning_rate,
        settings.max_norm,
        settings.seed,
        f"dojo finetune {settings.kind} --resume",
    )
    session.take_up()
    return session
