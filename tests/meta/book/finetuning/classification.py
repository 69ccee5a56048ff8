"""The book's head, loss and accuracy (sections 6.5 and 6.6), with our names and given the lengths of the texts."""

import torch
from torch import nn


def add_classification_head(model, num_classes, trainable_blocks=1):
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.out_head = nn.Linear(model.out_head.in_features, num_classes)
    number = len(model.trf_blocks)
    for block in list(model.trf_blocks)[number - trainable_blocks :]:
        for parameter in block.parameters():
            parameter.requires_grad = True
    for parameter in model.final_norm.parameters():
        parameter.requires_grad = True


def last_token_logits(model, inputs, lengths=None):
    logits = model(inputs)
    if lengths is None:
        return logits[:, -1, :]
    return logits[torch.arange(len(inputs)), lengths - 1, :]


def classification_loss(model, inputs, labels, lengths=None):
    return torch.nn.functional.cross_entropy(last_token_logits(model, inputs, lengths), labels)


def accuracy(model, loader, num_batches=None):
    model.eval()
    correct, examples = 0, 0
    for index, batch in enumerate(loader):
        if num_batches is not None and index >= num_batches:
            break
        inputs, labels = batch[0], batch[-1]
        lengths = batch[1] if len(batch) == 3 else None
        with torch.no_grad():
            predicted = torch.argmax(last_token_logits(model, inputs, lengths), dim=-1)
        examples += predicted.shape[0]
        correct += (predicted == labels).sum().item()
    return correct / examples
