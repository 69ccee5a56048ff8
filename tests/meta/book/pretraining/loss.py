"""The loss as section 5.1 goes about it: probabilities, those of the targets, their logarithms, the mean."""

import torch


def cross_entropy(logits, targets, ignore_index=-100):
    logits_flat, targets_flat = logits.reshape(-1, logits.shape[-1]), targets.flatten()
    counted = targets_flat != ignore_index  # PyTorch's function, which the book calls, leaves these out
    probas = torch.softmax(logits_flat[counted], dim=-1)
    target_probas = probas[torch.arange(len(probas)), targets_flat[counted]]
    return torch.log(target_probas).mean() * -1


def perplexity(loss):
    return torch.exp(loss)


def batch_loss(model, inputs, targets):
    logits = model(inputs)
    return cross_entropy(logits, targets)


def mean_loss(model, loader, num_batches=None):
    model.eval()
    with torch.no_grad():
        total_loss = 0.0
        num_batches = len(loader) if num_batches is None else min(num_batches, len(loader))
        for index, (inputs, targets) in enumerate(loader):
            if index >= num_batches:
                break
            total_loss += batch_loss(model, inputs, targets).item()
    model.train()
    return total_loss / num_batches
