"""The recipes of docs/book.md: what replaces a call of the book gives what the call gives, and weights travel.

Code that stands apart on the page is run unchanged. The book's side is tests/meta/book, or written here from the
book's description.
"""

import dataclasses
import importlib
import inspect
import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dojo.catalog.curriculum import katas
from dojo.serving.finder import served
from tests.meta.test_book import ADDRESSES, BOOK
from tests.meta.test_book_page import SECTIONS
from tests.support import numbers

CODE = {title.rpartition(", ")[2]: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for title, text in SECTIONS}
IDS = torch.tensor([[1, 5, 2, 7], [0, 3, 10, 4]])
TOKENIZER = SimpleNamespace(encode=lambda text: [*text.encode()])
GPT = {
    "vocab_size": 11, "context_length": 6, "emb_dim": 8, "n_heads": 2, "n_layers": 2, "drop_rate": 0.0,
    "qkv_bias": False,
}  # fmt: skip


def loaded(rooms: dict[str, str]) -> SimpleNamespace:
    """Every kata as some rooms serve it, by its name."""
    with served(rooms):
        return SimpleNamespace(
            **{kata.name: importlib.import_module(f"katas.{kata.address.replace('/', '.')}") for kata in katas()}
        )


@pytest.fixture(scope="module")
def ours() -> SimpleNamespace:
    return loaded({"*": "solutions"})


@pytest.fixture(scope="module")
def theirs() -> SimpleNamespace:
    """The book's way, where it has one."""
    return loaded({"*": "solutions"} | {one: f"file:{BOOK / one}.py" for one in ADDRESSES})


def made(build: Any, *arguments: Any, **settings: Any) -> Any:
    """What is built after the book's seed."""
    torch.manual_seed(123)
    return build(*arguments, **settings)


def gpts(ours: SimpleNamespace, theirs: SimpleNamespace) -> tuple[Any, Any]:
    """Our model and the book's after the same seed."""
    return tuple(made(side.model.GPTModel, ours.config.GPTConfig(**GPT)) for side in (ours, theirs))


def same(seen: Any, expected: Any) -> None:
    torch.testing.assert_close(seen, expected)


def test_every_block_of_the_page_is_run_here():
    assert {section: len(blocks) for section, blocks in CODE.items() if blocks} == {
        "section 2.6": 2, "section 4.6": 1, "section 5.2 and appendix D.4": 1, "sections 6.2 to 6.7": 1,
        "appendix E.4": 1,
    }  # fmt: skip


def test_appendix_a_4_a_step_is_one_of_sgd(ours):
    value, tensor = ours.autograd.Value(3.0), torch.tensor(3.0, requires_grad=True)
    for one in (value, tensor):
        (one * one).backward()
    ours.autograd.gradient_descent_step([value], 0.1)
    torch.optim.SGD([tensor], lr=0.1).step()
    assert value.data == pytest.approx(tensor.item())


@pytest.mark.parametrize("shuffle", ["False", "True"])
def test_section_2_6_the_call_becomes_one_that_gives_the_same_batches(ours, theirs, shuffle):
    def create_dataloader_v1(text, max_length, **settings):
        return theirs.dataloader.create_dataloader(TOKENIZER.encode(text), context_length=max_length, **settings)

    names = {
        "create_dataloader_v1": create_dataloader_v1, "create_dataloader": ours.dataloader.create_dataloader,
        "tokenizer": TOKENIZER, "raw_text": "Every effort moves you, and you move on. " * 8,
    }  # fmt: skip
    book, own = (
        made(lambda code=code: [*eval(code.replace("shuffle=False", f"shuffle={shuffle}"), names)])
        for code in CODE["section 2.6"]
    )
    assert len(own) == 10
    same(own, book)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_section_2_7_an_embedding_is_replaced(ours, shape):
    own, book = made(ours.embeddings.TokenEmbedding, 7, 3), made(nn.Embedding, 7, 3)
    same(dict(own.state_dict()), dict(book.state_dict()))
    ids = torch.arange(math.prod(shape)).reshape(shape)
    same(own(ids), book(ids))


def test_section_2_8_the_tables_of_the_model_are_loaded_unchanged(ours, theirs):
    _, book = gpts(ours, theirs)
    tables = {
        name: tensor for name, tensor in book.state_dict().items() if name in ("tok_emb.weight", "pos_emb.weight")
    }
    own = ours.embeddings.InputEmbedding(11, 6, 8)
    own.load_state_dict(tables)
    same(own(IDS), book.tok_emb(IDS) + book.pos_emb(torch.arange(4)))


def test_section_3_4_where_the_book_hides_ours_is_given_the_opposite(ours):
    queries, keys, values = (numbers(4, 3, seed=seed) for seed in "qkv")
    mask = torch.ones(4, 4, dtype=torch.bool).triu(1)
    weights = torch.softmax((queries @ keys.T).masked_fill(mask, -torch.inf) / 3**0.5, dim=-1)
    same(ours.trainable.scaled_dot_product_attention(queries, keys, values, ~mask), weights @ values)


@pytest.mark.parametrize("name", ["CausalAttention", "MultiHeadAttentionWrapper", "MultiHeadAttention"])
def test_sections_3_5_and_3_6_weights_travel_both_ways(ours, theirs, name):
    sizes = (3, 4, 6, 0.0) if name == "CausalAttention" else (3, 4, 6, 0.0, 2)
    own, book = (getattr(side.causal if len(sizes) == 4 else side.multihead, name)(*sizes) for side in (ours, theirs))
    x = numbers(2, 5, 3)
    state = book.state_dict()
    for mask in [entry for entry in state if entry.endswith("mask")]:
        state.pop(mask)
    own.load_state_dict(state)
    same(own(x), book(x))
    book.load_state_dict(made(type(own), *sizes).state_dict(), strict=False)
    same(book(x), made(type(own), *sizes)(x))


def test_section_4_1_the_configuration_goes_there_and_back(ours):
    book = {
        "vocab_size": 50257, "context_length": 1024, "emb_dim": 768, "n_heads": 12, "n_layers": 12, "drop_rate": 0.1,
        "qkv_bias": False,
    }  # fmt: skip
    config = ours.config.GPTConfig(**book)
    assert config == ours.config.GPTConfig.preset("gpt2-small")
    assert dataclasses.asdict(config) == book


def test_section_4_6_the_model_is_the_same_and_weights_travel_both_ways(ours, theirs):
    own, book = gpts(ours, theirs)
    same(own(IDS), book(IDS))
    other = theirs.model.GPTModel(ours.config.GPTConfig(**GPT))
    exec(CODE["section 4.6"][0], {"model": own, "state": other.state_dict()})
    same(own(IDS), other(IDS))
    other.load_state_dict(made(ours.model.GPTModel, ours.config.GPTConfig(**GPT)).state_dict(), strict=False)
    same(other(IDS), book(IDS))


def test_section_5_1_the_losses_are_the_same(ours, theirs):
    own, _ = gpts(ours, theirs)
    loader = [(IDS, IDS.roll(1)), (IDS.flip(0), IDS.roll(2)), (IDS.roll(3), IDS)]
    logits = own(IDS)
    same(ours.loss.batch_loss(own, *loader[0]), functional.cross_entropy(logits.flatten(0, 1), loader[0][1].flatten()))
    for few in (None, 1, 2, 99):
        assert ours.loss.mean_loss(own, loader, few) == pytest.approx(theirs.loss.mean_loss(own, loader, few))


@pytest.mark.parametrize(("temperature", "top_k"), [(0.0, None), (0.0, 3), (0.7, None), (1.5, 4)])
def test_section_5_3_the_two_draw_the_same_ids(ours, theirs, temperature, top_k):
    own, _ = gpts(ours, theirs)
    six = (own.eval(), IDS[:1], 8, 6, temperature, top_k)
    own_ids, book_ids = made(ours.sampling.generate, *six), made(theirs.sampling.generate, *six)
    assert own_ids.tolist() == book_ids.tolist()
    (new,) = own_ids[:, 4:].tolist()
    end = new[3]
    own_ids, book_ids = (made(side.sampling.generate, *six, eos_id=end) for side in (ours, theirs))
    assert own_ids[:, 4:].tolist() == [[*book_ids[0, 4:].tolist(), end]] == [new[: new.index(end) + 1]]


def test_section_5_2_and_appendix_d_have_the_first_arguments_of_pytorch(ours):
    def first(function, count):
        return [*inspect.signature(function).parameters][:count]

    assert first(ours.optimizer.AdamW, 5) == first(torch.optim.AdamW, 5)
    assert first(ours.schedule.clip_grad_norm, 2) == first(nn.utils.clip_grad_norm_, 2)


def test_section_5_2_the_call_trains_the_same_weights(ours, theirs):
    loaders = [(IDS, IDS.roll(1)), (IDS.flip(0), IDS.roll(2)), (IDS.roll(3), IDS)], [(IDS.roll(2), IDS.roll(3))]
    trained = []
    for model, side in zip(gpts(ours, theirs), (ours, theirs), strict=True):
        names = {
            "train": side.training.train, "model": model, "train_loader": loaders[0], "val_loader": loaders[1],
            "optimizer": torch.optim.SGD(model.parameters(), lr=0.1), "num_epochs": 2, "eval_freq": 1, "eval_iter": 1,
        }  # fmt: skip
        history = eval(CODE["section 5.2 and appendix D.4"][0], names)
        lists = torch.tensor([history.train_losses, history.val_losses, history.tokens_seen])
        trained.append((lists, model(IDS)))
    assert trained[0][0][2].tolist() == [8, 16, 24, 32, 40, 48]
    same(*trained)


def test_section_5_4_a_checkpoint_of_the_book_is_converted(ours, theirs, tmp_path):
    def step(model, optimizer):
        functional.cross_entropy(model(IDS).flatten(0, 1), IDS.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
        return model(IDS)

    own, book = gpts(ours, theirs)
    optimizers = [torch.optim.AdamW(model.parameters(), lr=0.01) for model in (own, book)]
    step(book, optimizers[1])
    file = tmp_path / "model_and_optimizer.pth"
    torch.save({"model_state_dict": book.state_dict(), "optimizer_state_dict": optimizers[1].state_dict()}, file)
    checkpoint = torch.load(file, weights_only=True)
    ours.gpt2_weights.load_book_state_dict(own, checkpoint["model_state_dict"])
    optimizers[0].load_state_dict(checkpoint["optimizer_state_dict"])
    ours.checkpoint.save_checkpoint(tmp_path / "ours.safetensors", own, optimizers[0], 1)
    again = ours.model.GPTModel(ours.config.GPTConfig(**GPT))
    optimizer = torch.optim.AdamW(again.parameters(), lr=0.01)
    assert ours.checkpoint.load_checkpoint(tmp_path / "ours.safetensors", again, optimizer) == 1
    same(step(again, optimizer), step(book, optimizers[1]))


def test_section_6_2_the_columns_become_rows(ours, theirs):
    columns = {"Text": np.array(["a bee", "the sea, again"]), "Label": np.array([0, 1])}
    names = {"ClassificationDataset": ours.classification_data.ClassificationDataset}
    own = eval(CODE["sections 6.2 to 6.7"][0], names | {"data": columns, "tokenizer": TOKENIZER})
    assert own.max_length == 14
    assert [(row.tolist(), label) for row, _, label in own] == [
        ([*b"a bee"] + [50256] * 9, 0),
        ([*b"the sea, again"], 1),
    ]


def test_sections_6_5_and_6_6_head_loss_and_accuracy_are_the_same(ours, theirs):
    pair = gpts(ours, theirs)
    for model, side in zip(pair, (ours, theirs), strict=True):
        made(side.classification.add_classification_head, model, num_classes=2)
    same(*(model.out_head.weight for model in pair))
    logits, labels = pair[1](IDS)[:, -1], torch.tensor([0, 1])
    same(ours.classification.classification_loss(pair[0], IDS, labels), functional.cross_entropy(logits, labels))
    loader = [(IDS, labels), (IDS.flip(0), labels), (IDS.roll(1), labels)]
    seen = [ours.classification.accuracy(pair[0], loader, few) for few in (None, 1, 9)]
    assert seen == [theirs.classification.accuracy(pair[1], loader, few) for few in (None, 1, 9)]


def test_sections_7_2_and_7_3_prompts_items_and_batches_are_the_same(ours, theirs):
    entries = [{"instruction": "Name it.", "input": "grass", "output": "green"}, {"instruction": "Go.", "input": ""}]
    entries[1]["output"] = "I am off, as you said."
    assert [ours.instruction.format_prompt(one) for one in entries] == [
        theirs.instruction.format_prompt(one) for one in entries
    ]
    book = [ids for ids, _ in theirs.instruction.InstructionDataset(entries, TOKENIZER.encode)]
    assert [ids for ids, _ in ours.instruction.InstructionDataset(entries, TOKENIZER.encode)] == book
    for longest in (None, 30):
        arguments = {"pad_id": 50256, "ignore_index": -100, "max_length": longest}
        same(ours.instruction.collate(book, **arguments), theirs.instruction.collate(book, **arguments))


@pytest.mark.parametrize("printed", [True, False], ids=["printed", "repository"])
def test_appendix_e_4_an_adapter_of_the_book_goes_into_ours(ours, printed):
    linear, x = made(nn.Linear, 40, 3), numbers(5, 40)
    lora = SimpleNamespace(A=torch.empty(40, 2), B=numbers(2, 3, seed="B"), alpha=3.0)
    nn.init.kaiming_uniform_(lora.A, a=math.sqrt(5))
    book = linear(x) + lora.alpha / (1 if printed else 2) * (x @ lora.A @ lora.B)
    code = CODE["appendix E.4"][0]
    assert "alpha=theirs.lora.alpha * rank" in code
    names = {"LoRALinear": ours.lora.LoRALinear, "theirs": SimpleNamespace(linear=linear, lora=lora), "rank": 2}
    exec(code if printed else code.replace("alpha * rank", "alpha"), names | {"torch": torch}, made_by := {})
    same(made_by["made"](x), book)
    fresh = ours.lora.LoRALinear(nn.Linear(40, 3), 2, alpha=1.0).A
    assert 1 / math.sqrt(40) < lora.A.abs().max() <= 1 / math.sqrt(2)
    assert fresh.abs().max() <= 1 / math.sqrt(40)


def test_the_bonus_of_chapter_4_weights_experts_the_same(ours):
    moe = made(ours.mixture_of_experts.MoE, 4, 6, 3, 2)
    x = numbers(5, 4)
    scores, chosen = moe.router(x).topk(2, dim=-1)
    outputs = torch.stack([expert(x) for expert in moe.experts], dim=1)  # (tokens, experts, emb_dim)
    of_chosen = outputs.gather(1, chosen[..., None].expand(-1, -1, 4))
    same(moe(x), (scores.softmax(dim=-1)[..., None] * of_chosen).sum(dim=1))
