"""Preferences in the way of the DPO notebook in the book's repository, with sums where it has means."""

import torch
from torch.nn import functional


def sequence_log_prob(model, inputs, targets, mask):
    log_probs = functional.log_softmax(model(inputs), dim=-1)
    selected = torch.gather(input=log_probs, dim=-1, index=targets.unsqueeze(-1)).squeeze(-1)
    return (selected * mask).sum(-1)  # the notebook divides by mask.sum(-1)


def dpo_loss(policy_chosen, policy_rejected, reference_chosen, reference_rejected, beta=0.1):
    model_logratios = policy_chosen - policy_rejected
    reference_logratios = reference_chosen - reference_rejected
    logits = model_logratios - reference_logratios
    return -functional.logsigmoid(beta * logits).mean()
