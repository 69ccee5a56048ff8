"""Kata: training a byte-pair encoding. The why, a figure and hints: docs/text/bpe_training.md."""

from collections.abc import Mapping, Sequence

# GPT-2's pattern, for the regex package: a contraction, or a run of letters, of digits or of other signs with the space
# before it, or white space, of which the last one before a word is left to that word.
SPLIT_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def pair_counts(words: Mapping[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """Count how often each pair of neighbouring ids occurs in a text.

    `words` maps each distinct piece of the text, as a tuple of ids, to how often the piece occurs.

    Clauses:
        neighbours  A pair is two ids side by side: the piece 1, 2, 3 holds (1, 2) and (2, 3), and no other pair.
        overlap     Overlapping pairs all count: the piece 1, 1, 1 holds (1, 1) twice.
        weighted    A piece that occurs n times counts n times.
        borders     The last id of a piece and the first of the next one are no pair.
        kept        words stays as it was.
    """
    raise NotImplementedError


def merge_pair(ids: Sequence[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace a pair of neighbouring ids by one new id, wherever it occurs in a piece.

    Clauses:
        replaced  Every occurrence of the pair becomes new_id, and all other ids stay, in their order.
        leftmost  Occurrences are taken from the left and share no id: 1, 1, 1 becomes new_id, 1.
        new-list  The result is a list of its own, and ids stays as it was.
    """
    raise NotImplementedError


def train_bpe(
    text: str, vocab_size: int, special_tokens: Sequence[str] = ()
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """Learn a byte-pair encoding from a text: join the commonest pair of neighbours, and again, until vocab is full.

    The result is `vocab`, from each id to its bytes, and `merges`, the pairs of byte strings joined, in the order made.

    Clauses:
        commonest   Each merge joins the pair that occurs most often in the text as it is merged so far.
        bytes       Ids 0 to 255 are the single bytes, in order.
        joined      Merge number n, from 0, makes id 256 + n, whose bytes are those of its pair, left before right.
        ties        Among equally common pairs the greater one is joined, compared as tuples of byte strings.
        room        Merging ends when vocab holds vocab_size tokens, with the single bytes and special tokens counted.
        rare        A pair that occurs once is joined too, as long as there is room.
        exhausted   When no pair is left, vocab is smaller than vocab_size.
        encoded     A piece is its UTF-8 bytes, so that one character can be several ids.
        pieces      Pairs are counted and joined within the pieces that SPLIT_PATTERN finds, never across them.
        specials    Special tokens, a list or a tuple, take the ids after the last merge, in the order given.
        cut         The text is cut at its special tokens before it is split, and these take no part in any pair.
        longest     Special tokens are found from left to right, the longest of those that begin at a place.
        literal     A special token means its own characters, also those that mean something in a pattern.
        order       Only how often each piece occurs decides, not the order in which the pieces come.
        untouched   A call changes neither special_tokens nor what the next call gives.
        recount     The merges are those of counting all pairs anew before each merge.
        ranks       With the ids of vocab as ranks, tiktoken encodes the text into the tokens that the merges give.
        any-text    Every text that is valid Unicode can be trained on, the empty one too.
        too-small   A vocab_size below 256 plus the special tokens raises a ValueError that names both numbers.
        repeated    A special token given twice raises a ValueError that names it.
        empty       An empty special token raises a ValueError that names its index.
        one-string  A single str as special_tokens raises a TypeError that names it.
        no-string   A special token that is no str raises a TypeError that names its type and value.
        no-text     A text that is no str raises a TypeError that names its type and value.
        surrogate   A lone surrogate in text or in a special token raises a ValueError, no UnicodeEncodeError, that
                    names its index.

    Not allowed: tiktoken, tokenizers, sentencepiece.
    Source: Gage 1994; Sennrich et al. 2016, section 3.2; Radford et al. 2019, section 2.2; book section 2.5 uses one.
    """
    raise NotImplementedError
