"""The book's way, section 2.6: lists of finished windows, and a DataLoader over them; token ids in place of a text."""

import torch
from torch.utils.data import DataLoader, Dataset


class SlidingWindowDataset(Dataset):
    def __init__(self, token_ids, context_length, stride):
        self.input_ids = []
        self.target_ids = []
        for i in range(0, len(token_ids) - context_length, stride):
            self.input_ids.append(torch.tensor(token_ids[i : i + context_length]))
            self.target_ids.append(torch.tensor(token_ids[i + 1 : i + context_length + 1]))

    def __len__(self):
        return len(self.input_ids)

    def __getitem__(self, idx):
        return self.input_ids[idx], self.target_ids[idx]


def create_dataloader(
    token_ids, batch_size, context_length, stride, shuffle=True, drop_last=True, num_workers=0, generator=None
):
    dataset = SlidingWindowDataset(token_ids, context_length, stride)
    return DataLoader(dataset, batch_size, shuffle=shuffle, drop_last=drop_last, num_workers=num_workers)
