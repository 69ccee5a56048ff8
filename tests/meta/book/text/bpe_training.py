"""Training as minbpe and the book's bonus do it: the pair that is met first wins a tie, and every piece is counted."""

import itertools

import regex

SPLIT_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def pair_counts(words):
    counts = {}
    for ids, times in words.items():
        for pair in itertools.pairwise(ids):
            counts[pair] = counts.get(pair, 0) + times
    return counts


def merge_pair(ids, pair, new_id):
    new_ids, i = [], 0
    while i < len(ids):
        if i < len(ids) - 1 and (ids[i], ids[i + 1]) == pair:
            new_ids.append(new_id)
            i += 2
        else:
            new_ids.append(ids[i])
            i += 1
    return new_ids


def train_bpe(text, vocab_size, special_tokens=()):
    pieces = [list(piece.encode("utf-8")) for piece in regex.findall(SPLIT_PATTERN, text)]
    vocab, merges = {i: bytes([i]) for i in range(256)}, []
    for new_id in range(256, vocab_size):
        stats = {}
        for piece in pieces:
            for pair, times in pair_counts({tuple(piece): 1}).items():
                stats[pair] = stats.get(pair, 0) + times
        best = max(stats, key=stats.get)
        pieces = [merge_pair(piece, best, new_id) for piece in pieces]
        vocab[new_id] = vocab[best[0]] + vocab[best[1]]
        merges.append((vocab[best[0]], vocab[best[1]]))
    return vocab, merges
