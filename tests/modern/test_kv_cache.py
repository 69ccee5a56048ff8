"""The key-value cache, clause by clause. The why: docs/modern/kv_cache.md.

The model of these tests is a small one of GroupedQueryAttention, with rotated positions: wrong positions show.
"""

import itertools

import pytest
import torch
from torch.nn.functional import layer_norm

from katas.modern.grouped_query import GroupedQueryAttention
from katas.modern.kv_cache import KVCache, LayerCache, generate_cached
from katas.pretraining.sampling import generate
from tests.support import clause, close, dealt, numbers, refuses, same

VOCAB_SIZE, CONTEXT, LAYERS = 11, 64, 2  # a context in which a text that is read twice fits, too


class Stopped(Exception):
    pass


class Tiny(torch.nn.Module):
    """Two layers of attention over 11 tokens. It notes the ids of each call, what the cache held, modes, gradients."""

    def __init__(self, fails_at=None):
        super().__init__()
        angles = torch.arange(float(CONTEXT))[:, None] * torch.tensor([1.0, 0.3])
        self.table = torch.nn.Embedding(VOCAB_SIZE, 6)
        self.layers = torch.nn.ModuleList(
            [GroupedQueryAttention(6, 6, CONTEXT, 4, 2, head_dim=4, angles=angles) for _ in range(LAYERS)]
        )
        self.dropout, self.head = torch.nn.Dropout(0.5), torch.nn.Linear(6, VOCAB_SIZE)
        self.calls, self.held, self.modes, self.gradients, self.fails_at = [], [], [], [], fails_at
        dealt(self)

    def forward(self, ids, cache=None):
        self.calls.append(ids.tolist())
        self.held.append(0 if cache is None else cache[0].length)
        self.modes.append([part.training for part in self.modules()])
        self.gradients.append(torch.is_grad_enabled())
        if self.fails_at == len(self.calls):
            raise Stopped("the model was told to stop")
        x = self.table(ids)  # (batch, tokens, 6)
        for place, layer in enumerate(self.layers):
            x = x + layer(layer_norm(x, (6,)), cache=None if cache is None else cache[place])
        return 2 * self.head(self.dropout(layer_norm(x, (6,))))

    def read(self):
        """The tokens that each text had read to it, in order, over all calls."""
        return [list(itertools.chain.from_iterable(pieces)) for pieces in zip(*self.calls, strict=True)]


def prompts(batch, tokens, seed=0):
    """Ids of a vocabulary of 11, the same on every platform."""
    return ((numbers(batch, tokens, seed=f"prompts {seed}") + 1) * 5.5).clamp(0, 10).long()


def cached(prompt, new, model=None, kata=generate_cached, context_length=CONTEXT, **how):
    return kata(model or Tiny(), prompt.clone(), new, LAYERS, context_length, **how)


def uncached(prompt, new, **how):
    """What generate gives, where the model reads the whole text again for each token."""
    return generate(Tiny(), prompt.clone(), new, CONTEXT, **how)


def some(*shape, seed=0):
    """Keys and values, (batch, heads, tokens, head_dim) each."""
    return numbers(*shape, seed=f"keys {seed}"), numbers(*shape, seed=f"values {seed}")


def filled(cache, tokens, seed=0):
    """What append gives for keys and values of so many tokens."""
    return cache.append(*some(2, 3, tokens, 4, seed=seed))


def probe(kata):
    """Small cases on which the known mistakes differ."""
    prompt = prompts(2, 5)

    def tried(call):
        try:
            return call()
        except Exception as error:
            return type(error).__name__

    def said(new=4, prompt=prompt, model=None, **how):
        return cached(prompt, new, model, kata.generate_cached, **how)

    def sampled(**how):
        return said(temperature=3.0, generator=torch.Generator().manual_seed(5), **how)

    def calls(**how):
        model = Tiny()
        said(model=model, **how)
        return [len(each[0]) for each in model.calls]

    def appended(times):
        cache = kata.LayerCache(9)
        results = [filled(cache, tokens, seed=tokens) for tokens in times]
        return [str(tuple(keys.shape)) for keys, _ in results]

    def of_append(which):
        cache = kata.LayerCache(9)
        filled(cache, 3, seed=3)
        return filled(cache, 2, seed=2)[which]

    def lengths():
        cache = kata.LayerCache(9)
        found = [cache.length]
        for tokens in (3, 2):
            filled(cache, tokens)
            found.append(cache.length)
        return found

    def of_layers():
        cache = kata.KVCache(3, 9)
        filled(cache[1], 2)
        return [cache[layer].length for layer in range(3)]

    def as_model(what):
        cache = kata.KVCache(3, 9)
        seen = []
        for tokens in (4, 1):
            for layer in range(3):
                filled(cache[layer], tokens)
                seen.append(cache.length)
        return what(cache, seen)

    def again(cache, seen):
        cache.reset()
        lengths = [cache.length, *(cache[layer].length for layer in range(3))]
        return [*lengths, filled(cache[0], 1)[0].shape[2], cache.length]

    def two_caches():
        first, second = kata.KVCache(2, 9), kata.KVCache(2, 9)
        filled(first[0], 2)
        return second[0].length

    def left_over():
        """Whether a second text finds something in its cache, which alone is no fault of KVCache."""
        model = Tiny()
        tried(lambda: said(model=model))
        calls = len(model.held)
        tried(lambda: said(model=model))
        if kata.KVCache(LAYERS, CONTEXT)[0].length:
            return "in every cache"
        return any(model.held[calls : calls + 1])

    def full(tokens):
        cache = kata.LayerCache(4)
        filled(cache, 3)
        return str(tried(lambda: filled(cache, tokens)[0].shape[2]))

    def after_full():
        cache = kata.LayerCache(4)
        filled(cache, 3)
        tried(lambda: filled(cache, 2))
        return cache.length

    def dtype():
        keys, values = some(2, 3, 2, 4)
        return str(kata.LayerCache(9).append(keys.double(), values.double())[0].dtype)

    def in_modes(what, training=True, fails_at=None):
        model = Tiny(fails_at).train(training)
        tried(lambda: said(model=model))
        return what(model)

    def calls_too_far():
        model = Tiny()
        tried(lambda: said(new=9, context_length=12, model=model))
        return len(model.calls)

    def ended(texts, place):
        """The text that ends with what the first row has at this place of its new tokens."""
        eos_id = int(uncached(prompt, 6)[0, 5 + place])
        return said(prompt=prompt[:texts], new=6, eos_id=eos_id)

    return {
        "lengths": lengths,
        "appended": lambda: appended([3, 2, 1]),
        "keys": lambda: of_append(0),
        "values": lambda: of_append(1),
        "layers": of_layers,
        "read": lambda: as_model(lambda cache, seen: seen),
        "after a reset": lambda: as_model(again),
        "another cache": two_caches,
        "greedy": said,
        "one new": lambda: said(new=1),
        "three new": lambda: said(new=3),
        "sampled": sampled,
        "sampled of 2": lambda: sampled(top_k=2),
        "sampled of half": lambda: sampled(top_p=0.5),
        "one text": lambda: said(prompt=prompt[:1]),
        "calls": calls,
        "calls in chunks": lambda: calls(chunk=2),
        "chunks of 1": lambda: said(chunk=1),
        "chunks of 2": lambda: said(chunk=2),
        "left over": left_over,
        "one text ended": lambda: ended(1, 1),
        "two texts ended": lambda: ended(2, 1),
        "to the end": lambda: str(tried(lambda: said(new=8, context_length=12).shape[1])),
        "too far": lambda: str(tried(lambda: said(new=9, context_length=12).shape[1])),
        "calls too far": calls_too_far,
        "full": lambda: [full(1), full(2)],
        "after full": after_full,
        "dtype": dtype,
        "-1 new": lambda: str(tried(lambda: said(new=-1).shape[1])),
        "chunks of 0": lambda: str(tried(lambda: said(chunk=0).shape[1])),
        "no prompt": lambda: str(tried(lambda: said(prompt=prompt[:, :0]).shape[1])),
        "nothing new": lambda: said(new=0),
        "modes during calls": lambda: in_modes(lambda model: [any(modes) for modes in model.modes]),
        "gradients during calls": lambda: in_modes(lambda model: model.gradients),
        "modes after training": lambda: in_modes(lambda model: model.training),
        "modes after eval": lambda: in_modes(lambda model: model.training, training=False),
        "modes after an error": lambda: in_modes(lambda model: model.training, fails_at=2),
    }


@clause("length")
def test_the_length_is_the_number_of_tokens_so_far():
    cache, lengths = LayerCache(9), []
    for tokens in (0, 3, 2, 1):
        if tokens:
            filled(cache, tokens)
        lengths.append(cache.length)
    same(lengths, [0, 3, 5, 6], "length in a new cache, and after each append of 3, 2 and 1 tokens")


@clause("append")
@pytest.mark.parametrize("which", [0, 1], ids=["keys", "values"])
def test_append_gives_all_that_came_before_and_the_new_ones(which):
    cache, pieces = LayerCache(9), []
    for tokens in (3, 1, 2):
        pieces.append(some(2, 3, tokens, 4, seed=tokens)[which])
        seen = filled(cache, tokens, seed=tokens)[which]
        because = (
            f"{[piece.shape[2] for piece in pieces]} tokens were appended one after the other: append should give all "
            f"{('keys', 'values')[which]}, (batch, heads, tokens, head_dim), in that order, the new ones last"
        )
        close(seen, torch.cat(pieces, dim=2), because)


@clause("layers")
def test_each_layer_has_a_cache_of_its_own():
    cache = KVCache(3, 9)
    for layer, tokens in ((0, 4), (1, 2)):
        filled(cache[layer], tokens)
    lengths = [cache[layer].length for layer in range(3)]
    same(
        lengths, [4, 2, 0], "4 tokens were appended to cache[0] and 2 to cache[1]: the lengths of cache[0], [1] and [2]"
    )


@clause("layers")
def test_two_caches_share_nothing():
    first, second = KVCache(2, 9), KVCache(2, 9)
    filled(first[0], 4)
    same(second[0].length, 0, "the length of a new cache's layer, after 4 tokens were appended to that of another one")


@clause("read")
def test_the_length_is_what_all_layers_have_read():
    cache, lengths = KVCache(3, 9), []
    for tokens in (4, 1):
        for layer in range(3):
            filled(cache[layer], tokens)
            lengths.append(cache.length)
    because = "length each time that a layer of three has read 4 tokens, and then 1 more; the last layer reads last"
    same([KVCache(3, 9).length, *lengths], [0, 0, 0, 4, 4, 4, 5], because)


@clause("reset")
def test_after_a_reset_another_text_can_be_read():
    cache = KVCache(2, 9)
    for layer in range(2):
        filled(cache[layer], 8)
    cache.reset()
    same([cache.length, cache[0].length, cache[1].length], [0, 0, 0], "the lengths of cache and layers after reset()")
    keys, _ = filled(cache[1], 3, seed="another")
    close(keys, some(2, 3, 3, 4, seed="another")[0], "after reset(), append should give the keys of the new text only")


@clause("fresh")
def test_each_call_begins_with_an_empty_cache():
    model = Tiny()
    for text in (1, 2):
        before = len(model.held)
        cached(prompts(2, 5, seed=text), 2, model)
        held = model.held[before]
        assert held == 0, f"text {text} of two: before the model reads anything, its cache holds {held} tokens"


@clause("same-text")
@pytest.mark.parametrize(("texts", "tokens", "new"), [(1, 1, 3), (2, 3, 1), (3, 4, 4), (2, 5, 0)])
def test_the_greedy_text_is_the_one_without_a_cache(texts, tokens, new):
    prompt = prompts(texts, tokens, seed=new)
    because = f"{new} new tokens after {tokens}, greedily: generate, which has no cache, gives another text"
    close(cached(prompt, new), uncached(prompt, new), because)


@clause("same-text")
@pytest.mark.parametrize(
    "how",
    [{"temperature": 3.0}, {"temperature": 3.0, "top_k": 2}, {"temperature": 3.0, "top_p": 0.6}],
    ids=["temperature", "top_k", "top_p"],
)
def test_a_sampled_text_is_the_one_without_a_cache(how):
    prompt = prompts(20, 5)
    seen, expected = (call(prompt, 3, generator=torch.Generator().manual_seed(5), **how) for call in (cached, uncached))
    close(seen, expected, f"with {how} and a generator of the same seed, generate without a cache gives other texts")


@clause("once")
def test_each_token_is_read_once():
    model, prompt = Tiny(), prompts(2, 5)
    seen = cached(prompt, 4, model)
    because = (
        f"4 new tokens after 5: the model was called with {[len(call[0]) for call in model.calls]} tokens. It should "
        "read the prompt, then each new token but the last"
    )
    same(model.read(), seen[:, :-1].tolist(), because)
    same([len(call[0]) for call in model.calls[-3:]], [1, 1, 1], "how many tokens the last three calls had")


@clause("chunk")
@pytest.mark.parametrize("chunk", [1, 4, None, 20])
def test_a_prompt_in_chunks_gives_the_same_text(chunk):
    model, prompt = Tiny(), prompts(2, 6)
    seen = cached(prompt, 4, model, chunk=chunk)
    close(seen, uncached(prompt, 4), f"a prompt of 6 tokens was read with chunk={chunk}, and the text is another one")
    sizes = [len(call[0]) for call in model.calls[:-3]]
    expected = [6] if chunk is None else [min(chunk, 6 - start) for start in range(0, 6, chunk)]
    same(sizes, expected, f"the tokens of each call for a prompt of 6 tokens with chunk={chunk}")


@clause("full")
def test_a_cache_takes_as_many_tokens_as_the_context_has():
    cache = LayerCache(11)
    filled(cache, 9)
    with refuses(ValueError, 12, 11):
        filled(cache, 3)
    same(cache.length, 9, "the length after 3 tokens were refused: the cache should be as it was")
    same(filled(cache, 2)[0].shape[2], 11, "the keys for 9 and then 2 tokens, with a context_length of 11")


@clause("dtype")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=lambda dtype: str(dtype)[6:])
def test_the_dtype_of_what_is_appended_is_kept(dtype):
    cache, (keys, values) = LayerCache(9), some(2, 3, 2, 4)
    for _ in range(2):
        seen = cache.append(keys.to(dtype), values.to(dtype))
    for all_of_one, one in zip(seen, (keys, values), strict=True):
        close(all_of_one, torch.cat([one, one], dim=2).to(dtype), f"keys and values in {dtype} were appended twice")


@clause("end")
@pytest.mark.parametrize("texts", [1, 3])
def test_each_row_ends_with_its_first_new_eos_id(texts):
    prompt = prompts(texts, 5)
    for eos_id in uncached(prompt, 4)[0, 5:].tolist():
        expected, model = uncached(prompt, 6, eos_id=eos_id), Tiny()
        close(cached(prompt, 6, model, eos_id=eos_id), expected, f"eos_id={eos_id}: generate gives another text")
        new = expected.shape[1] - 5
        same(len(model.calls), new, f"the calls of the model for texts that all ended after {new} new tokens")


@clause("too-long")
def test_a_text_that_does_not_fit_is_refused_before_it_is_read():
    model = Tiny()
    with refuses(ValueError, 13, 12):
        cached(prompts(2, 5), 9, model, context_length=12)
    assert not model.calls, f"the model was called {len(model.calls)} times before the refusal"
    seen = cached(prompts(2, 5), 8, context_length=12)
    close(seen, uncached(prompts(2, 5), 8), "12 tokens are read, which is the context_length")


@clause("counts")
@pytest.mark.parametrize(("argument", "wrong"), [("new", -1), ("chunk", 0)])
def test_counts_that_mean_nothing_are_refused(argument, wrong):
    with refuses(ValueError, wrong):
        cached(prompts(2, 5), **{"new": 2, argument: wrong})


@clause("counts")
def test_a_prompt_of_no_tokens_is_refused():
    with refuses(ValueError, (3, 0)):
        cached(prompts(3, 0), 2)


@clause("modes")
@pytest.mark.parametrize("fails_at", [None, 3], ids=["to the end", "stopped by an error"])
def test_modes_and_gradients_are_as_before(fails_at):
    model = Tiny(fails_at).train()
    model.layers.eval()
    before = [part.training for part in model.modules()]
    try:
        cached(prompts(2, 5), 4, model)
    except Stopped:
        assert fails_at, "the model was told to go on"
    assert not any(map(any, model.modes)), "during a call the model, or a part of it, was in training mode"
    assert not any(model.gradients), "during a call gradients were on"
    same([part.training for part in model.modules()], before, "the modes of the parts afterwards, beside those before")
