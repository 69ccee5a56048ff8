"""Instructions the way sections 7.2 and 7.3 of the book do it, with the names of the kata, and exercise 7.2's mask."""

import torch
from torch.utils.data import Dataset

RESPONSE = "\n\n### Response:\n"


def format_prompt(entry):
    instruction_text = (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request."
        f"\n\n### Instruction:\n{entry['instruction']}"
    )
    input_text = f"\n\n### Input:\n{entry['input']}" if entry["input"] else ""
    return instruction_text + input_text


class InstructionDataset(Dataset):
    def __init__(self, entries, encode):
        self.items = []
        for entry in entries:
            prompt = format_prompt(entry) + RESPONSE
            full_text = prompt + entry["output"]
            self.items.append((encode(full_text), len(encode(prompt))))

    def __getitem__(self, index):
        return self.items[index]

    def __len__(self):
        return len(self.items)


def collate(batch, pad_id=50256, ignore_index=-100, max_length=None, mask_prompt=False):
    pairs = [item if isinstance(item, tuple) else (item, 0) for item in batch]
    batch_max_length = max(len(item) + 1 for item, _ in pairs)
    inputs_lst, targets_lst = [], []
    for item, prompt_length in pairs:
        new_item = item.copy()
        new_item += [pad_id]
        padded = new_item + [pad_id] * (batch_max_length - len(new_item))
        inputs = torch.tensor(padded[:-1])
        targets = torch.tensor(padded[1:])
        indices = torch.nonzero(targets == pad_id).squeeze()
        if indices.numel() > 1:
            targets[indices[1:]] = ignore_index
        if mask_prompt:
            targets[: max(prompt_length - 1, 0)] = ignore_index
        inputs_lst.append(inputs if max_length is None else inputs[:max_length])
        targets_lst.append(targets if max_length is None else targets[:max_length])
    return torch.stack(inputs_lst), torch.stack(targets_lst)
