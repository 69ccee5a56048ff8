"""Sampling as section 5.3 goes about it: top-k as a bound, then the temperature, then a draw; top-p is not in the book.

It stands here as the usual programs have it: sort, sum up, shift the mask by one, put it back.
"""

import torch


def sample_next_token(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if top_k is not None:
        top_logits, _ = torch.topk(logits, top_k)
        smallest = top_logits[:, -1:]
        logits = torch.where(logits < smallest, torch.tensor(float("-inf")), logits)
    if temperature == 0:
        return torch.argmax(logits, dim=-1)
    probas = torch.softmax(logits / temperature, dim=-1)
    if top_p is not None:
        ordered, places = torch.sort(probas, descending=True)
        beyond = torch.cumsum(ordered, dim=-1) > top_p
        beyond[:, 1:] = beyond[:, :-1].clone()
        beyond[:, 0] = False
        probas = probas.masked_fill(beyond.scatter(1, places, beyond), 0.0)
    return torch.multinomial(probas, num_samples=1)[:, 0]


def generate(
    model,
    token_ids,
    max_new_tokens,
    context_length,
    temperature=0.0,
    top_k=None,
    top_p=None,
    eos_id=None,
    generator=None,
):
    for _ in range(max_new_tokens):
        with torch.no_grad():
            logits = model(token_ids[:, -context_length:])
        next_ids = sample_next_token(logits[:, -1, :], temperature, top_k, top_p)
        if eos_id is not None and (next_ids == eos_id).all():
            break
        token_ids = torch.cat((token_ids, next_ids[:, None]), dim=1)
    return token_ids
