"""Training the way section 5.2 of the book does it, with the names of the kata; clipping and schedule as in D.4."""

from dataclasses import dataclass, field

import torch

from katas.pretraining.loss import batch_loss, mean_loss


@dataclass
class History:
    steps: list = field(default_factory=list)
    tokens_seen: list = field(default_factory=list)
    train_losses: list = field(default_factory=list)
    val_losses: list = field(default_factory=list)
    learning_rates: list = field(default_factory=list)


def train(
    model, train_loader, val_loader, optimizer, epochs, eval_every, eval_batches,
    schedule=None, max_norm=None, accumulate=1, start_step=0, on_step=None,
):  # fmt: skip
    history = History()
    tokens_seen, global_step = 0, 0
    for _ in range(epochs):
        model.train()
        for input_batch, target_batch in train_loader:
            optimizer.zero_grad()
            global_step += 1
            if schedule is not None:
                for param_group in optimizer.param_groups:
                    param_group["lr"] = schedule(global_step)
            loss = batch_loss(model, input_batch, target_batch)
            loss.backward()
            if max_norm is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=max_norm)
            optimizer.step()
            tokens_seen += input_batch.numel()
            if global_step % eval_every == 0:
                model.eval()
                with torch.no_grad():
                    train_loss = mean_loss(model, train_loader, eval_batches)
                    val_loss = mean_loss(model, val_loader, eval_batches)
                model.train()
                history.steps.append(global_step)
                history.tokens_seen.append(tokens_seen)
                history.train_losses.append(train_loss)
                history.val_losses.append(val_loss)
                history.learning_rates.append(optimizer.param_groups[0]["lr"])
            if on_step is not None:
                on_step(global_step, loss.item(), history)
    return history
