"""A trained model with a head for classes, what of it is trained, and the messages that it learns from."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dojo.datasets.messages import LABELS, Message
from dojo.errors import DojoError
from dojo.finetune import batches
from dojo.finetune.recipe import LORA, WHOLE, Recipe, check
from dojo.finetune.variations import with_variations
from dojo.learner import store
from dojo.system.files import check_regular
from dojo.train import models, pieces, saved
from dojo.train.ingredients import END_OF_TEXT, LOOP, MODELS
from dojo.train.runs import Run, latest
from dojo.train.session import Session, seed

DATA, CLASSIFICATION = "finetuning/classification_data", "finetuning/classification"
ADAPTER = "finetuning/lora"
SUREST = 0.99  # more is not said: no held-out data of this size could show it


def katas(base: Run, kind: str) -> tuple[str, ...]:
    """The addresses of what a fine-tuning of the model of a run takes. Raises DojoError where it cannot be read."""
    of_kind = (ADAPTER,) if kind == LORA else ()
    return ("text/bpe_tokenizer", *MODELS[base.model], *LOOP, DATA, CLASSIFICATION, *of_kind)


@dataclass
class Classifier:
    """A model that tells wanted from unwanted, its tokenizer, and how many tokens of a message it reads at most.

    Its logits are divided by temperature before they become probabilities.
    """

    model: nn.Module
    tokenizer: Any
    max_length: int
    temperature: float = 1.0

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.encode(END_OF_TEXT)[0])

    def dataset(self, messages: Sequence[Message]) -> Any:
        return batches.dataset(messages, self.tokenizer, self.pad_id, self.max_length)

    def accuracy(self, items: Any) -> float:
        """The share of a dataset's messages that it has right."""
        classification = pieces.module(CLASSIFICATION)
        modes = {part: part.training for part in self.model.modules()}
        # A loader draws a number when it starts, and the training should not notice. That no gradients are recorded
        # and that the modes come back are further clauses of the kata.
        with torch.random.fork_rng(), torch.no_grad():
            right: float = classification.accuracy(self.model, batches.to_test(items, self.device))
        for part, training in modes.items():
            part.training = training
        return right

    def probabilities(self, text: str) -> list[float]:
        """How likely each label is. Raises ValueError for a text without a token."""
        ids = self.tokenizer.encode(text)[: self.max_length]
        if not ids:
            raise ValueError("there is nothing to classify in an empty text")
        with torch.no_grad():
            row = torch.tensor([ids], device=self.device)
            logits = pieces.module(CLASSIFICATION).last_token_logits(self.model.eval(), row)  # (1, classes)
        shares: list[float] = (logits[0] / self.temperature).softmax(-1).tolist()
        return shares

    def logits(self, messages: Sequence[Message]) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of messages, (messages, classes), and their labels, both on the CPU."""
        last, rows, known = pieces.module(CLASSIFICATION).last_token_logits, [], []
        with torch.no_grad():
            for inputs, lengths, labels in batches.to_test(self.dataset(messages), self.device):
                rows.append(last(self.model.eval(), inputs, lengths).float().cpu())
                known.append(labels.cpu())
        return torch.cat(rows), torch.cat(known)

    def adapter(self) -> dict[str, torch.Tensor]:
        """What lora has learned: the adapters and the head, and nothing of the model below them."""
        whole = self.model.state_dict()
        head = {name: one.detach().clone() for name, one in whole.items() if name.startswith("out_head.")}
        return pieces.module(ADAPTER).lora_state_dict(self.model) | head


def classifier(base: Run, recipe: Recipe, device: str) -> Classifier:
    """A run's model with a new head, and with adapters for lora, of which only what is to be learned is trainable.

    Raises DojoError where the recipe does not fit the model: that the katas refuse it is a further clause of theirs.
    """
    speaker = saved.of_run(base, device)
    width, blocks = speaker.config["emb_dim"], models.layers(speaker.config)
    if recipe.kind == LORA and recipe.rank > width:
        raise DojoError(f"{base.name} is {width} wide: --rank is at most that, and not {recipe.rank}.")
    if recipe.trainable_blocks > blocks:
        raise DojoError(
            f"the number of blocks in {base.name} is {blocks}: --trainable-blocks is at most that, and not "
            f"{recipe.trainable_blocks}."
        )
    seed(recipe.seed)
    classification = pieces.module(CLASSIFICATION)
    if recipe.kind == LORA:
        classification.add_classification_head(speaker.model, len(LABELS), 0)
        pieces.module(ADAPTER).apply_lora(speaker.model, recipe.rank, recipe.alpha, recipe.targets)
        speaker.model.out_head.requires_grad_(True)
    else:
        classification.add_classification_head(speaker.model, len(LABELS), recipe.trainable_blocks)
        if recipe.learns == WHOLE:
            speaker.model.requires_grad_(True)
    speaker.model.to(device)  # only a further clause of the katas says that the new parts are there already
    return Classifier(speaker.model, speaker.tokenizer, speaker.context_length)


def of_run(run: Run, device: str) -> Classifier:
    """The classifier of a fine-tuning: from its checkpoint, or for lora from its base and its adapter alone.

    Raises DojoError where one of the files is gone, or does not fit; UsageProblem where the base is.
    """
    about = run.about(check)
    recipe = Recipe.of_data(about["recipe"])
    made = classifier(latest(about["base"]), recipe, device)
    made.max_length, made.temperature = about["max_length"], about.get("temperature", 1.0)
    if recipe.kind == LORA:
        load_adapter(run, made)
    else:
        saved.load(run, made.model)
    return made


def load_adapter(run: Run, made: Classifier) -> None:
    """Give a model the adapter of a run. Raises DojoError where there is none, or one that does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = run.adapter
    if not os.path.lexists(path):
        raise DojoError(f"{run.name} has not finished: `{run.again}` continues it.")
    try:
        check_regular(path)
        state = load_file(path)
        head = {name: state.pop(name) for name in list(state) if name.startswith("out_head.")}
        _check_names(state, pieces.module(ADAPTER).lora_state_dict(made.model))
        pieces.module(ADAPTER).load_lora_state_dict(made.model, state)
        if not head:
            raise ValueError("it has no head")
        made.model.load_state_dict(head, strict=False)
        if not all(bool(torch.isfinite(one).all()) for one in (*state.values(), *head.values())):
            raise ValueError("not every number is finite")
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        told = f"{store.shown(path)} cannot be loaded: {saved.why(error)}."
        raise DojoError(f"{told} Remove it, and `{run.again}` writes it again.") from None


def _check_names(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError with a name that only one of two adapters has, or whose shapes differ."""
    expected = {name: one for name, one in expected.items() if not name.startswith("out_head.")}
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            raise ValueError(f"{name} is missing")
        if name not in expected or found[name].shape != expected[name].shape:
            raise ValueError(f"{name} does not fit the model")


def open_session(
    run: Run, made: Classifier, recipe: Recipe, train: Sequence[Message], validation: Sequence[Message]
) -> Session:
    """All that the loop of pretraining needs to teach a classifier, continued from the last checkpoint of the run."""
    generator = torch.Generator().manual_seed(recipe.seed)
    return Session(
        run=run,
        teaching=recipe,
        model=made.model,
        learned=batches.to_learn(made.dataset(with_variations(train, recipe.seed)), recipe.batch_size, generator),
        held_out=batches.to_watch(made.dataset(validation)),
        tokens_in_a_step=recipe.batch_size * made.max_length,
    ).take_up()
