"""Checkpoints the way section 5.4 of the book does it, with the names of the kata and the step in the dict."""

import torch


def save_checkpoint(path, model, optimizer, step, generator=None):
    torch.save(
        {
            "model_state_dict": model.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "step": step,
        },
        path,
    )


def load_checkpoint(path, model, optimizer, generator=None):
    checkpoint = torch.load(path, weights_only=True)
    model.load_state_dict(checkpoint["model_state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    return checkpoint["step"]
