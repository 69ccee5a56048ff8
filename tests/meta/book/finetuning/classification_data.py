"""The book's dataset (sections 6.2 and 6.3), with our names, texts and labels for a file, and a length in each item."""

import torch
from torch.utils.data import Dataset


def pad_or_truncate(token_ids, length, pad_id):
    token_ids = token_ids[:length]
    return token_ids + [pad_id] * (length - len(token_ids))


class ClassificationDataset(Dataset):
    def __init__(self, texts, labels, encode, pad_id, max_length=None):
        self.labels = labels
        self.encoded = [encode(text) for text in texts]
        self.max_length = max(len(token_ids) for token_ids in self.encoded) if max_length is None else max_length
        self.lengths = [min(len(token_ids), self.max_length) for token_ids in self.encoded]
        self.encoded = [pad_or_truncate(token_ids, self.max_length, pad_id) for token_ids in self.encoded]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.tensor(self.encoded[index], dtype=torch.long), self.lengths[index], self.labels[index]
