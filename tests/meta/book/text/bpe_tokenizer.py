"""Encoding as the book's bonus and minbpe do it: of the pairs in a piece, the one merged earliest in training first."""

import itertools

import regex

from .bpe_training import SPLIT_PATTERN


class BPETokenizer:
    def __init__(self, vocab, merges, special_tokens=()):
        self.vocab = vocab
        self.inverse_vocab = {token: i for i, token in vocab.items()}
        self.bpe_ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.allowed_special = special_tokens

    @classmethod
    def from_ranks(cls, ranks, special_tokens=()):
        raise NotImplementedError

    def tokenize_with_bpe(self, piece):
        symbols = [bytes([byte]) for byte in piece.encode("utf-8")]
        while len(symbols) > 1:
            pairs = set(itertools.pairwise(symbols))
            pair = min(pairs, key=lambda pair: self.bpe_ranks.get(pair, float("inf")))
            if pair not in self.bpe_ranks:
                break
            new_symbols, i = [], 0
            while i < len(symbols):
                if i < len(symbols) - 1 and (symbols[i], symbols[i + 1]) == pair:
                    new_symbols.append(pair[0] + pair[1])
                    i += 2
                else:
                    new_symbols.append(symbols[i])
                    i += 1
            symbols = new_symbols
        return [self.inverse_vocab[symbol] for symbol in symbols]

    def encode(self, text):
        parts = [text]
        if self.allowed_special:
            parts = regex.split("(" + "|".join(regex.escape(token) for token in self.allowed_special) + ")", text)
        token_ids = []
        for part in parts:
            if part in self.allowed_special:
                token_ids.append(self.inverse_vocab[part.encode("utf-8")])
            else:
                for piece in regex.findall(SPLIT_PATTERN, part):
                    token_ids.extend(self.tokenize_with_bpe(piece))
        return token_ids

    def encode_iterable(self, chunks):
        raise NotImplementedError

    def decode(self, token_ids):
        return b"".join(self.vocab[token_id] for token_id in token_ids).decode("utf-8", errors="replace")

    def save(self, path):
        raise NotImplementedError

    @classmethod
    def load(cls, path):
        raise NotImplementedError
