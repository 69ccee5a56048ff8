"""The ladders of `dojo bench` by name, with a learner's own pieces on them wherever there are some."""

from collections.abc import Callable
from typing import Any

from dojo.catalog.curriculum import find
from dojo.ladder import classes
from dojo.ladder.ladder import Ladder
from dojo.learner.standing import is_done, unfinished

ATTENTION, TOKENIZER, GENERATION, STEP = "attention", "tokenizer", "generation", "training"
NAMES = (ATTENTION, TOKENIZER, GENERATION, STEP)
MULTIHEAD, TRAINING, ENCODING = "attention/multihead", "text/bpe_training", "text/bpe_tokenizer"
MODEL, CONFIG, GENERATE = "gpt/model", "gpt/config", "gpt/generate"
DECODER, CACHE = "modern/decoder", "modern/kv_cache"
LOSS, OPTIMIZER = "pretraining/loss", "pretraining/optimizer"


def ladders(
    what: str,
    device: str,
    dtype: str = "float32",
    batch: int | None = None,
    quick: bool = False,
    solutions: bool = True,
) -> tuple[list[Ladder], list[str]]:
    """The ladders of a name, and what there is to say about the learner's own rungs."""
    told: list[str] = []

    def own(address: str, attempt: Callable[[Any], object]) -> Any:
        if solutions:
            return None
        kata, why = classes.own(address, attempt, unfinished(find(address)))
        told.append(f"yours is not on the ladder: {why}" if why else f"on the ladder as yours: katas/{address}.py")
        return kata

    if what == ATTENTION:
        return _attention(own, device, dtype, batch, quick), told
    if what == TOKENIZER:
        from dojo.ladder.tokenizer import Encoding, Training

        trainer, encoder = classes.reference(TRAINING, ENCODING)
        vocab = {byte: bytes([byte]) for byte in range(256)}
        training = Training(trainer, own(TRAINING, lambda kata: kata.train_bpe("ab", 257)), quick=quick)
        tokenizer = own(ENCODING, lambda kata: kata.BPETokenizer(vocab, []).encode("a"))
        return [training, Encoding(encoder, tokenizer, quick=quick)], told
    if what == STEP:
        return [_training_step(own, device, dtype, batch, quick)], told
    return [_generation(own, device, quick), _modern_generation(own, device, quick)], told


def _attention(own: Any, device: str, dtype: str, batch: int | None, quick: bool) -> list[Ladder]:
    import torch

    from dojo.ladder.attention import SHAPES, Attention, lengths_for

    [reference] = classes.reference(MULTIHEAD)
    kata = own(MULTIHEAD, lambda kata: kata.MultiHeadAttention(2, 2, 1, 0.0, 1))
    return [
        Attention(
            reference,
            kata and kata.MultiHeadAttention,
            device=device,
            dtype=getattr(torch, dtype),
            heads=heads,
            head_dim=head_dim,
            batch=batch or (1 if device == "cpu" else 4),
            lengths=lengths_for(device, quick),
        )
        for heads, head_dim in SHAPES[: 1 if quick else None]
    ]


def _generation(own: Any, device: str, quick: bool) -> Ladder:
    """The learner's generation runs with the learner's model where that is green, and else with the reference's."""
    import torch
    from torch import nn

    from dojo.ladder.generation import Generation, Katas

    def katas(model: Any, config: Any, generate: Any) -> Katas:
        return Katas(model.GPTModel, config.GPTConfig, generate.generate_greedy)

    model, config, generate = classes.reference(MODEL, CONFIG, GENERATE)
    mine = own(
        GENERATE, lambda kata: kata.generate_greedy(nn.Embedding(2, 2), torch.zeros(1, 1, dtype=torch.long), 1, 2)
    )
    if mine is None:
        return Generation(katas(model, config, generate), device=device, quick=quick)
    my_model = own(MODEL, lambda kata: kata.GPTModel) if is_done(find(MODEL)) else None
    return Generation(
        katas(model, config, generate), katas(my_model or model, config, mine), device=device, quick=quick
    )


def _modern_generation(own: Any, device: str, quick: bool) -> Ladder:
    """The learner's cache runs with the learner's decoder where that is green, and else with the reference's."""
    import torch

    from dojo.ladder.generation import ModernGeneration, ModernKatas

    def katas(decoder: Any, cache: Any) -> ModernKatas:
        def cached(model: Any, ids: Any, new: int, context_length: int) -> Any:
            return cache.generate_cached(model, ids, new, len(model.trf_blocks), context_length)

        return ModernKatas(decoder.DecoderModel, decoder.DecoderConfig, plain.generate_greedy, cached)

    decoder, cache, plain = classes.reference(DECODER, CACHE, GENERATE)
    tiny = decoder.DecoderModel(decoder.DecoderConfig(2, 2, 2, 1, 1, 1, 1))
    mine = own(CACHE, lambda kata: kata.generate_cached(tiny, torch.zeros(1, 1, dtype=torch.long), 1, 1, 2))
    my_decoder = own(DECODER, lambda kata: kata.DecoderModel) if mine and is_done(find(DECODER)) else None
    my_katas = katas(my_decoder or decoder, mine) if mine else None
    return ModernGeneration(katas(decoder, cache), my_katas, device=device, quick=quick)


def _training_step(own: Any, device: str, dtype: str, batch: int | None, quick: bool) -> Ladder:
    """The learner's model learns by their loss and optimizer where those are green, and else by the reference's."""
    from dojo.ladder.training_step import Katas, TrainingStep

    model, config, loss, optimizer = classes.reference(MODEL, CONFIG, LOSS, OPTIMIZER)
    mine = own(MODEL, lambda kata: kata.GPTModel(config.GPTConfig(2, 1, 1, 1, 1, 0.0, False)))
    katas = None
    if mine is not None:
        my_loss = own(LOSS, lambda kata: kata.batch_loss) if is_done(find(LOSS)) else None
        my_optimizer = own(OPTIMIZER, lambda kata: kata.AdamW) if is_done(find(OPTIMIZER)) else None
        learns = (my_loss or loss).batch_loss, (my_optimizer or optimizer).AdamW
        katas = Katas(mine.GPTModel, config.GPTConfig, *learns)
    on_gpu = device.startswith("cuda")
    return TrainingStep(
        Katas(model.GPTModel, config.GPTConfig, loss.batch_loss, optimizer.AdamW),
        katas,
        device=device,
        dtype=dtype,
        drop_rate=0.1 if on_gpu else 0.0,  # on a CPU the fused kernel knows no dropout
        batches=[batch] if batch else [1] if quick and not on_gpu else [1, 4, 16] if on_gpu else [1, 4],
    )
