"""Greedy generation as section 4.7 of the book describes it: eval mode is for the caller."""

import torch


def generate_greedy(model, token_ids, max_new_tokens, context_length):
    for _ in range(max_new_tokens):
        read = token_ids[:, -context_length:]
        with torch.no_grad():
            last = model(read)[:, -1, :]
        probabilities = torch.softmax(last.float(), dim=-1)
        following = torch.argmax(probabilities, dim=-1, keepdim=True)
        token_ids = torch.cat((token_ids, following), dim=1)
    return token_ids
