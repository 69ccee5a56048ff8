"""A published model, from its folder to a Speaker made of the katas."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dojo.errors import DojoError
from dojo.ladder.measuring import free_memory
from dojo.published import chat, configuration, tokenizer
from dojo.published import folder as files
from dojo.system.terminal import number
from dojo.train import ingredients, models, pieces, saved
from dojo.train.ingredients import MODERN
from dojo.train.speaking import CHUNK, Speaker

DECODER, EXPERTS = "modern/decoder", "modern/mixture_of_experts"
BYTES = 4  # of a number in float32, in which all is computed


@dataclass
class PublishedSpeaker(Speaker):
    """A Speaker that puts a prompt into the model's chat form, if it has one."""

    form: chat.Form | None = None

    def begin(self, prompt: str) -> tuple[list[int], torch.Tensor | None]:
        if not prompt.strip():
            raise ValueError("a published model needs a prompt")
        return (self.tokenizer.encode_form(self.form.of(prompt)), None) if self.form else super().begin(prompt)


class Published:
    """A published model, with its small files read and its weights not. Raises DojoError for one that cannot speak."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self.config = configuration.configuration(folder)
        content = tokenizer.content(folder)
        self.special = tokenizer.special_tokens(content)
        self.fitting = tokenizer.fitting(folder, content)
        files.check_weights(folder)
        self._check_memory()
        self.template = files.template(folder)
        family = "mixtral" if self.config["num_experts"] else ""
        self.form = chat.form_of(self.template, self.special, family)

    def _check_memory(self) -> None:
        count, free = configuration.parameters(self.config), free_memory(self.device)
        logits = CHUNK * self.config["vocab_size"]
        if (need := BYTES * (count + logits)) > free:
            raise DojoError(
                f"{self.folder} has {number(count)} weights. In float32 they take {need / 2**30:.1f} GiB of memory, "
                f"and {free / 2**30:.1f} GiB are free."
            )

    @property
    def katas(self) -> tuple[str, ...]:
        """The addresses of what the model is made of."""
        encoding, *others = saved.katas(MODERN)
        experts = [EXPERTS] if self.config["num_experts"] else []
        return (*([] if isinstance(self.fitting, str) else [encoding]), *others, *experts)

    @property
    def needed(self) -> dict[str, tuple[str, ...]]:
        """The further clauses that its weights call for, by the address of the kata."""
        experts = ("experts",) if self.config["num_experts"] else ()
        found = {DECODER: ("dtype", "other-head", "missing", "unexpected", "shapes", *experts)}
        scaling = {"modern/rope": ("scaling",)} if self.config["rope_scaling"] else {}
        return ingredients.needed(self.device) | found | scaling

    def speaker(self, cached: bool, raw: bool) -> tuple[PublishedSpeaker, list[str]]:
        """The model with its weights, made of the katas as they are served, and what is to be told about it."""
        chosen, told = self._tokenizer()
        form = None if raw else self.form
        if self.template and not self.form and not raw:
            told.append("its chat form is none that is known here, so it continues the prompt as it is")
        elif form:
            told.append(f"the prompt is put into its chat form, {form.name}; `--raw` continues it as it is")
        ends = configuration.ends(self.folder) | ({self.special[form.end]} if form else frozenset())
        # Without any, no text ends: no token has this id.
        ends = ends or frozenset([self.config["vocab_size"]])
        model = self._loaded().to(self.device).eval()
        return PublishedSpeaker(model, chosen, self.config, cached, ends, form), told

    def _tokenizer(self) -> tuple[tokenizer.Tokenizer, list[str]]:
        why, told = self.fitting, []
        if not isinstance(why, str):
            try:
                chosen: tokenizer.Tokenizer = tokenizer.OfKata(why)
                if why.pattern != tokenizer.GPT2:
                    told = ["its text is split by Qwen's pattern in place of GPT-2's; all else is the BPE kata"]
            except tokenizer.Misfit as misfit:
                why = str(misfit)
        if isinstance(why, str):
            chosen = tokenizer.of_library(self.folder, why)
            told = [f"its tokenizer does not fit the BPE kata: it {why}. The package `tokenizers` stands in for it"]
        if chosen.largest >= (size := self.config["vocab_size"]):
            raise DojoError(f"{self.folder} has a token with the id {chosen.largest}, and its model {size} tokens.")
        return chosen, told

    def _loaded(self) -> Any:
        decoder = pieces.module(DECODER)
        try:
            with torch.random.fork_rng():
                model = models.build(self.config)
            decoder.load_pretrained(model, self.folder)
        except (OSError, ValueError) as error:
            raise DojoError(f"{self.folder} cannot be loaded: {error}.") from None
        for name, one in model.named_parameters():
            if not torch.isfinite(torch.stack(one.aminmax())).all():  # both are nan where one is
                raise DojoError(f"{self.folder} is damaged: not every number of {name} is finite.")
        return model
