"""`dojo generate --weights FOLDER`: what a published model says, and what is said of files that are wrong."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from dojo import ROOT
from dojo.catalog import specification
from dojo.errors import DojoError
from dojo.published import chat, configuration
from dojo.published.model import Published
from dojo.published.tokenizer import GPT2, Misfit, OfKata, vocabulary
from dojo.serving.finder import forget, served
from tests.meta import published


@pytest.fixture(scope="module", autouse=True)
def _reference():
    with served({"*": "solutions"}):
        yield
        forget()


def change(folder, name, **changes):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


@pytest.mark.parametrize("family", configuration.FAMILIES)
def test_a_model_of_each_family_says_the_same_with_and_without_a_cache(family, tmp_path):
    published.write(tmp_path, family)
    speaker, told = Published(tmp_path, "cpu").speaker(cached=True, raw=True)
    assert told == ["its text is split by Qwen's pattern in place of GPT-2's; all else is the BPE kata"]
    said = "".join(speaker.speak("hello", 40, temperature=0.0))
    speaker.cached = False
    assert said == "".join(speaker.speak("hello", 40, temperature=0.0)) != ""
    count = sum(parameter.numel() for parameter in speaker.model.parameters())
    assert configuration.parameters(speaker.config) == count
    assert speaker.context_length == (32 if family == "mixtral" else 64)


def test_the_command_answers_in_the_chat_form_and_says_which_pieces_are_borrowed(scratch, tmp_path):
    published.write(tmp_path)
    words = ("--weights", str(tmp_path), "--max-tokens", "5", "--device", "cpu", "--temperature", "0")
    done = scratch.run("dojo", "generate", "hello", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("hello\n")
    told = " ".join(done.stderr.split())
    for line in ("its pieces are the reference's", "your kv_cache is not green", "its chat form, ChatML"):
        assert line in told


def test_a_prompt_stands_in_the_chat_form_and_the_answer_ends_at_an_end(tmp_path):
    published.write(tmp_path)
    speaker, _ = Published(tmp_path, "cpu").speaker(cached=True, raw=False)
    assert speaker.ends == {262, 264}
    ids, _ = speaker.begin(" hello ")
    assert speaker.tokenizer.decode(ids) == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert ids[0] == 263, "a special token is one token"
    first, _ = Published(tmp_path, "cpu").speaker(cached=True, raw=True)
    row = torch.tensor([first.tokenizer.encode("hello")])
    with torch.no_grad():
        likeliest = int(first.model(row)[0, -1].argmax())
    first.ends = frozenset([likeliest])
    assert "".join(first.speak("hello", 5, temperature=0.0)) == ""
    for prompt in ("", " "):
        with pytest.raises(ValueError, match="needs a prompt"):
            next(first.speak(prompt, 5))


@pytest.mark.parametrize(
    ("template", "family", "written"),
    [
        ("<|im_start|> <|im_end|>", "qwen3", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        (
            "<|im_start|> <|im_end|> enable_thinking",
            "qwen3",
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
        ),
        (
            "<|start_header_id|> <|end_header_id|> <|eot_id|>",
            "llama",
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        ("[INST] [/INST]", "mixtral", "<s> [INST] Hi [/INST]"),
        ("[INST] [/INST]", "llama", None),
        ("### Instruction", "llama", None),
        ("", "qwen3", None),
    ],
)
def test_the_form_is_the_one_that_the_template_writes(template, family, written):
    every = {token for form in chat.FORMS for token in form.tokens}
    form = chat.form_of(template, every, family)
    assert (form and form.of("Hi")) == written
    assert chat.form_of(template, [], family) is None, "its tokens are not there"


def test_the_kata_splits_by_the_pattern_of_the_tokenizer():
    made_of = vocabulary(published.tokenizer())
    ids = OfKata(made_of).encode("hello(a 12 e\u0301<|im_end|>")
    assert ids == [259, 260, 32, ord("1"), ord("2"), 32, *"é".encode(), 264]
    forget()
    alone = published.tokenizer() | {"normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "use_regex": True}}
    made_of = vocabulary(alone)
    assert made_of.pattern == GPT2
    assert OfKata(made_of).encode("(a 12") == [ord("("), ord("a"), 32, 261]


def test_a_kata_that_has_written_the_pattern_out_does_not_fit(tmp_path):
    own = (ROOT / "solutions" / "text" / "bpe_tokenizer.py").read_text(encoding="utf-8")
    file = tmp_path / "own.py"
    file.write_text(own.replace("(SPLIT_PATTERN", "(WRITTEN_OUT") + f"\nWRITTEN_OUT = {GPT2!r}\n", encoding="utf-8")
    with served({"*": "solutions", "text/bpe_tokenizer": f"file:{file}"}):
        with pytest.raises(Misfit, match="in your bpe_tokenizer"):
            OfKata(vocabulary(published.tokenizer()))
        forget()


@pytest.mark.parametrize("installed", [True, False])
def test_what_the_kata_does_not_do_is_said_and_left_to_the_library(installed, tmp_path, monkeypatch):
    published.write(tmp_path)
    content = published.tokenizer(ignore_merges=True)
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    found = Published(tmp_path, "cpu")
    assert "text/bpe_tokenizer" not in found.katas
    if not installed:
        monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
        with pytest.raises(DojoError, match=r"before it looks at merges.*pip install -c constraints.txt tokenizers"):
            found.speaker(True, raw=True)
        return
    pytest.importorskip("tokenizers")
    with pytest.raises(DojoError, match="is damaged"):  # the library wants more than the kata does
        found.speaker(True, raw=True)


def shards(folder, weight_map):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")


def reweigh(folder, **changes):
    tensors = published.weights(published.configuration()) | changes
    save_file({name: one for name, one in tensors.items() if one is not None}, folder / "model.safetensors")


def text(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def config(**changes):
    return lambda folder: change(folder, "config.json", **changes)


def tokens(**changes):
    return lambda folder: change(folder, "tokenizer.json", **changes)


DAMAGE = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "no JSON": (text("config.json", b"{"), "config.json is damaged: it holds no JSON."),
    "no object": (text("config.json", b"[1]"), "it holds no JSON object"),
    "nested": (text("config.json", b"[" * 100_000), "config.json is damaged"),
    "not UTF-8": (text("config.json", b'{"a": "\xff"}'), "config.json is damaged"),
    "another family": (config(model_type="gpt2"), "is of a model of type 'gpt2'"),
    "a size of text": (config(hidden_size="16"), "has '16' as hidden_size"),
    "no heads": (config(num_attention_heads=0), "has 0 as num_attention_heads"),
    "true layers": (config(num_hidden_layers=True), "has True as num_hidden_layers"),
    "odd heads": (config(num_key_value_heads=3), "4 heads of 8 features with 3 of keys and values"),
    "a base of nan": (
        text("config.json", json.dumps(published.configuration(rope_theta=float("nan"))).encode()),
        "nan",
    ),
    "yarn": (config(rope_scaling={"rope_type": "yarn", "factor": 4.0}), "rotary scaling of type 'yarn'"),
    "biases": (config(attention_bias=True), "has attention_bias"),
    "gelu": (config(hidden_act="gelu"), "has 'gelu' as hidden_act"),
    "quantized": (config(quantization_config={"bits": 4}), "has quantized weights"),
    "another epsilon": (config(rms_norm_eps=1e-5), "rms_norm_eps"),
    "too large": (config(vocab_size=10**9, hidden_size=10**6), "GiB are free"),
    "many layers": (config(num_hidden_layers=10**9), "GiB are free"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    "cut weights": (
        lambda folder: text("model.safetensors", (folder / "model.safetensors").read_bytes()[:-1])(folder),
        "is no complete safetensors file",
    ),
    "a long header": (text("model.safetensors", struct.pack("<Q", 2**60)), "is no complete safetensors file"),
    "a missing tensor": (lambda folder: reweigh(folder, **{"model.norm.weight": None}), "model.norm.weight is missing"),
    "integers": (
        lambda folder: reweigh(folder, **{"model.norm.weight": torch.ones(16, dtype=torch.int8)}),
        "numbers of type I8",
    ),
    "another shape": (lambda folder: reweigh(folder, **{"model.norm.weight": torch.ones(15)}), "has the shape (15,)"),
    "one tensor more": (lambda folder: reweigh(folder, extra=torch.ones(1)), "extra has no place in the model"),
    "another head": (
        lambda folder: reweigh(folder, **{"lm_head.weight": torch.ones(280, 16)}),
        "lm_head.weight differs",
    ),
    "nan": (lambda folder: reweigh(folder, **{"model.norm.weight": torch.full((16,), torch.nan)}), "is finite"),
    "an index of nothing": (lambda folder: shards(folder, []), "it names no files"),
    "outside": (lambda folder: shards(folder, {"a": "../b.safetensors"}), "outside of its folder"),
    "a lost shard": (lambda folder: shards(folder, {"a": "b.safetensors"}), "has no b.safetensors"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "no model": (tokens(model=None), "tokenizer.json is damaged"),
    "no merges": (tokens(model={"type": "BPE", "vocab": {}}), "tokenizer.json is damaged"),
    "few bytes": (tokens(model=published.tokenizer(vocab={"a": 0}, merges=[])["model"]), "tokens are missing"),
    "twice": (tokens(added_tokens=[{"id": 5, "content": "<|x|>"}]), "its ids are no numbers of their own"),
    "an id too far": (tokens(added_tokens=[{"id": 280, "content": "<|x|>"}]), "the id 280, and its model 280 tokens"),
    "odd special tokens": (tokens(added_tokens=[5]), "it describes no tokenizer"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_files_that_are_wrong_are_told_in_a_sentence(damage, tmp_path):
    published.write(tmp_path)
    harm, told = DAMAGE[damage]
    harm(tmp_path)
    with pytest.raises(DojoError) as raised:
        Published(tmp_path, "cpu").speaker(cached=True, raw=False)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_links_shards_and_an_equal_head_are_taken(tmp_path):
    store, folder = tmp_path / "store", tmp_path / "folder"
    store.mkdir()
    folder.mkdir()
    published.write(store)
    tensors = published.weights(published.configuration())
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()  # as in the file of Qwen3-0.6B
    parts = [dict([*tensors.items()][part::2]) for part in (0, 1)]
    weight_map = {name: f"{place}.safetensors" for place, part in enumerate(parts) for name in part}
    shards(store, weight_map)
    for place, part in enumerate(parts):
        save_file(part, store / f"{place}.safetensors")
    for path in store.iterdir():
        (folder / path.name).symlink_to(path)
    speaker, _ = Published(folder, "cpu").speaker(cached=True, raw=True)
    torch.testing.assert_close(speaker.model.final_norm.weight.data, tensors["model.norm.weight"].float())


@pytest.mark.parametrize("family", configuration.FAMILIES)
def test_what_weights_need_beyond_a_core_is_a_further_clause(family, tmp_path):
    published.write(tmp_path, family)
    for address, slugs in Published(tmp_path, "cpu").needed.items():
        assert {*slugs} <= specification.further_clauses(address).keys()


def test_raw_is_for_a_published_model_alone(scratch):
    done = scratch.run("dojo", "generate", "hello", "--raw")
    assert done.returncode == 2
    assert "--raw is for a published model" in done.stderr
