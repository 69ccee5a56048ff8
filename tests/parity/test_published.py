"""`dojo generate --weights FOLDER` says what transformers says, for small random models with real tokenizers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers import models as tokenizer_models
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    MixtralConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from dojo import ROOT
from dojo.published.configuration import configuration, parameters
from dojo.published.model import Published
from dojo.published.tokenizer import QWEN, OfKata, OfLibrary
from dojo.serving.finder import served
from tests.parity.test_decoder import PUBLISHED
from tests.support import numbers, same

SIZES: dict[str, Any] = {
    "vocab_size": 600, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128, "rope_parameters": {"rope_theta": 1e6},
}  # fmt: skip
# Newlines stand in expressions: jinja drops the one at the end of a template.
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
HEADER = "'<|start_header_id|>' + {} + '<|end_header_id|>\n\n'"
HEADERS = (
    "{{ bos_token }}{% for m in messages %}{{ " + HEADER.format("m.role") + " + m.content + '<|eot_id|>' }}{% endfor %}"
    "{{ " + HEADER.format("'assistant'") + " }}"
)
INST = "{{ bos_token }}{% for m in messages %} [INST] {{ m.content }} [/INST]{% endfor %}"
LLAMA = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
HARD = "I'LL say: (well)... 12345 cafe\u0301 cafés\n\n  def f(x):\n\treturn x  # 'tis\r\n<|im_end|>日本 🙂  "


def byte_level(pattern: str, special: list[str], **model: Any) -> Tokenizer:
    made = Tokenizer(tokenizer_models.BPE(**model))
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_alone])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train([str(ROOT / "README.md")], trainers.BpeTrainer(vocab_size=560, initial_alphabet=alphabet))
    made.add_special_tokens(special)
    return made


def qwen() -> Tokenizer:
    made = byte_level(QWEN, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    made.normalizer = normalizers.NFC()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    return made


def llama() -> Tokenizer:
    special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    made = byte_level(LLAMA, special, ignore_merges=True)
    begin = special[0]
    made.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, made.token_to_id(begin))]
    )
    return made


def mixtral() -> Tokenizer:
    made = Tokenizer(tokenizer_models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    strip = decoders.Strip(" ", 1, 0)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), strip])
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    made.train([str(ROOT / "README.md")], trainers.BpeTrainer(vocab_size=560, special_tokens=special))
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return made


MODELS: dict[str, tuple[Any, Any, str, str, str | None]] = {
    "qwen3": (Qwen3Config(**SIZES, tie_word_embeddings=True), qwen, CHATML, "<|im_end|>", None),
    "llama": (LlamaConfig(**SIZES), llama, HEADERS, "<|eot_id|>", "<|begin_of_text|>"),
    "mixtral": (MixtralConfig(**SIZES, num_local_experts=4, sliding_window=None), mixtral, INST, "</s>", "<s>"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for family, (config, tokenizer, template, end, begin) in MODELS.items():
        library = tokenizer()
        config.eos_token_id, config.bos_token_id, config.pad_token_id = library.token_to_id(end), None, None
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(numbers(*parameter.shape, seed=name) / 2)
        made[family] = tmp_path_factory.mktemp(family)
        model.save_pretrained(made[family])
        fast = PreTrainedTokenizerFast(tokenizer_object=library, eos_token=end, bos_token=begin)
        fast.chat_template = template
        fast.save_pretrained(made[family])
    return made


@pytest.mark.parametrize("raw", [False, True], ids=["chat", "raw"])
@pytest.mark.parametrize("family", MODELS)
def test_the_greedy_text_is_that_of_transformers(family, raw, folders):
    folder, prompt = folders[family], "Say something about (gradients) 12345"
    theirs, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    if raw:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
    else:
        asked = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(asked, return_tensors="pt", return_dict=True).input_ids
    expected = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, pad_token_id=0
    )
    with served({"*": "solutions"}):
        speaker, _ = Published(folder, "cpu").speaker(cached=True, raw=raw)
        assert isinstance(speaker.tokenizer, OfKata if family == "qwen3" else OfLibrary)
        same(speaker.begin(prompt)[0], ids[0].tolist(), f"the ids that a {family} begins with")
        told: list[list[int]] = []
        decode = speaker.tokenizer.decode
        speaker.tokenizer.decode = lambda ids: told.append([*ids]) or decode(told[-1])
        seen = "".join(speaker.speak(prompt, 40, temperature=0.0))
    said = [one for one in expected[0, ids.shape[1] :].tolist() if one != theirs.config.eos_token_id]
    same(told[-1], said, f"40 tokens of a {family}")
    if family != "mixtral":  # its bytes that are no character change those before them, which are shown by then
        same(seen, tokenizer.decode(said, skip_special_tokens=False), f"the text of a {family}")


def test_the_kata_gives_the_ids_of_a_tokenizer_like_qwens(folders):
    library = Tokenizer.from_file(str(folders["qwen3"] / "tokenizer.json"))
    with served({"*": "solutions"}):
        mine = Published(folders["qwen3"], "cpu").speaker(cached=True, raw=True)[0].tokenizer
        for text in (HARD, (ROOT / "README.md").read_text(encoding="utf-8"), "", " ", "\u017fome '\u017f 'S"):
            same(list(mine.encode(text)), library.encode(text).ids, f"the ids of {text[:40]!r}")


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_configuration_of_a_published_model_is_read(model, tmp_path):
    config, count = PUBLISHED[model]
    config.save_pretrained(tmp_path)
    seen = configuration(tmp_path)
    same(parameters(seen), count, f"the count of parameters of {model}")
    same(seen["rope_base"], config.rope_parameters["rope_theta"], f"the base of {model}")
    assert bool(seen["rope_scaling"]) == (config.model_type == "llama")
