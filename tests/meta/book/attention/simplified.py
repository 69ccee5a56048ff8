"""The three steps the way section 3.3.2 writes them: one sequence at a time, with `.T`."""

import torch


def attention_scores(inputs):
    return inputs @ inputs.T


def attention_weights(scores):
    return torch.softmax(scores, dim=-1)


def context_vectors(inputs):
    return attention_weights(attention_scores(inputs)) @ inputs
