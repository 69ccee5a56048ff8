"""With the book's seeds and inputs, the reference gives the numbers that the book prints, to their four decimals."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from dojo.serving.finder import served

INPUTS = torch.tensor(  # "Your journey starts with one step", section 3.3.1: a token a row
    [
        [0.43, 0.15, 0.89],
        [0.55, 0.87, 0.66],
        [0.57, 0.85, 0.64],
        [0.22, 0.58, 0.33],
        [0.77, 0.25, 0.10],
        [0.05, 0.80, 0.55],
    ]
)
BATCH = torch.stack([INPUTS, INPUTS])  # section 3.5.3


def section_3_3_1_scores(attention):
    """The scores of the second token."""
    return attention.simplified.attention_scores(INPUTS)[1]


def section_3_3_1_weights(attention):
    return attention.simplified.attention_weights(attention.simplified.attention_scores(INPUTS))[1]


def section_3_3_1_context(attention):
    return attention.simplified.context_vectors(INPUTS)[1]


def section_3_3_2_scores(attention):
    return attention.simplified.attention_scores(INPUTS)


def section_3_3_2_weights(attention):
    return attention.simplified.attention_weights(attention.simplified.attention_scores(INPUTS))


def section_3_3_2_contexts(attention):
    return attention.simplified.context_vectors(INPUTS)


def first_version():
    """The three weights of section 3.4.1, in the order in which the book makes them."""
    torch.manual_seed(123)
    return [torch.rand(3, 2) for _ in range(3)]


def second_version(attention):
    """SelfAttention_v2 of section 3.4.2."""
    torch.manual_seed(789)
    return attention.trainable.SelfAttention(3, 2)


def section_3_4_1_context(attention):
    """The context vector of the second token."""
    query, key, value = first_version()
    return attention.trainable.scaled_dot_product_attention(INPUTS[1:2] @ query, INPUTS @ key, INPUTS @ value)[0]


def section_3_4_2_first_version(attention):
    module = attention.trainable.SelfAttention(3, 2)
    names = ("W_query.weight", "W_key.weight", "W_value.weight")
    module.load_state_dict({name: weight.mT for name, weight in zip(names, first_version(), strict=True)})
    return module(INPUTS)


def section_3_4_2_second_version(attention):
    return second_version(attention)(INPUTS)


def section_3_5_1_masked_weights(attention):
    """With one-hot values, the result is the weights."""
    module = second_version(attention)
    past = torch.ones(6, 6, dtype=torch.bool).tril()
    return attention.trainable.scaled_dot_product_attention(
        module.W_query(INPUTS), module.W_key(INPUTS), torch.eye(6), past
    )


def section_3_5_3_shape(attention):
    torch.manual_seed(123)
    return torch.tensor(attention.causal.CausalAttention(3, 2, 6, 0.0)(BATCH).shape)


def section_3_6_1_wrapper(attention):
    torch.manual_seed(123)
    return attention.multihead.MultiHeadAttentionWrapper(3, 2, 6, 0.0, num_heads=2)(BATCH)[1]


def section_3_6_2_weight_split(attention):
    torch.manual_seed(123)
    return attention.multihead.MultiHeadAttention(3, 2, 6, 0.0, num_heads=2)(BATCH)[1]


PRINTED = {
    section_3_3_1_scores: [0.9544, 1.4950, 1.4754, 0.8434, 0.7070, 1.0865],
    section_3_3_1_weights: [0.1385, 0.2379, 0.2333, 0.1240, 0.1082, 0.1581],
    section_3_3_1_context: [0.4419, 0.6515, 0.5683],
    section_3_3_2_scores: [
        [0.9995, 0.9544, 0.9422, 0.4753, 0.4576, 0.6310],
        [0.9544, 1.4950, 1.4754, 0.8434, 0.7070, 1.0865],
        [0.9422, 1.4754, 1.4570, 0.8296, 0.7154, 1.0605],
        [0.4753, 0.8434, 0.8296, 0.4937, 0.3474, 0.6565],
        [0.4576, 0.7070, 0.7154, 0.3474, 0.6654, 0.2935],
        [0.6310, 1.0865, 1.0605, 0.6565, 0.2935, 0.9450],
    ],
    section_3_3_2_weights: [
        [0.2098, 0.2006, 0.1981, 0.1242, 0.1220, 0.1452],
        [0.1385, 0.2379, 0.2333, 0.1240, 0.1082, 0.1581],
        [0.1390, 0.2369, 0.2326, 0.1242, 0.1108, 0.1565],
        [0.1435, 0.2074, 0.2046, 0.1462, 0.1263, 0.1720],
        [0.1526, 0.1958, 0.1975, 0.1367, 0.1879, 0.1295],
        [0.1385, 0.2184, 0.2128, 0.1420, 0.0988, 0.1896],
    ],
    section_3_3_2_contexts: [
        [0.4421, 0.5931, 0.5790],
        [0.4419, 0.6515, 0.5683],
        [0.4431, 0.6496, 0.5671],
        [0.4304, 0.6298, 0.5510],
        [0.4671, 0.5910, 0.5266],
        [0.4177, 0.6503, 0.5645],
    ],
    section_3_4_1_context: [0.3061, 0.8210],
    section_3_4_2_first_version: [
        [0.2996, 0.8053],
        [0.3061, 0.8210],
        [0.3058, 0.8203],
        [0.2948, 0.7939],
        [0.2927, 0.7891],
        [0.2990, 0.8040],
    ],
    section_3_4_2_second_version: [
        [-0.0739, 0.0713],
        [-0.0748, 0.0703],
        [-0.0749, 0.0702],
        [-0.0760, 0.0685],
        [-0.0763, 0.0679],
        [-0.0754, 0.0693],
    ],
    section_3_5_1_masked_weights: [
        [1.0000, 0.0000, 0.0000, 0.0000, 0.0000, 0.0000],
        [0.5517, 0.4483, 0.0000, 0.0000, 0.0000, 0.0000],
        [0.3800, 0.3097, 0.3103, 0.0000, 0.0000, 0.0000],
        [0.2758, 0.2460, 0.2462, 0.2319, 0.0000, 0.0000],
        [0.2175, 0.1983, 0.1984, 0.1888, 0.1971, 0.0000],
        [0.1935, 0.1663, 0.1666, 0.1542, 0.1666, 0.1529],
    ],
    section_3_5_3_shape: [2, 6, 2],
    section_3_6_1_wrapper: [
        [-0.4519, 0.2216, 0.4772, 0.1063],
        [-0.5874, 0.0058, 0.5891, 0.3257],
        [-0.6300, -0.0632, 0.6202, 0.3860],
        [-0.5675, -0.0843, 0.5478, 0.3589],
        [-0.5526, -0.0981, 0.5321, 0.3428],
        [-0.5299, -0.1081, 0.5077, 0.3493],
    ],
    section_3_6_2_weight_split: [
        [0.3190, 0.4858],
        [0.2943, 0.3897],
        [0.2856, 0.3593],
        [0.2693, 0.3873],
        [0.2639, 0.3928],
        [0.2575, 0.4028],
    ],
}


@pytest.fixture(scope="module")
def attention() -> Iterator[SimpleNamespace]:
    with served({"*": "solutions"}):
        from katas.attention import causal, multihead, simplified, trainable

        yield SimpleNamespace(causal=causal, multihead=multihead, simplified=simplified, trainable=trainable)


@pytest.mark.parametrize("computed", PRINTED, ids=lambda computed: computed.__name__)
def test_the_reference_gives_what_the_book_prints(computed, attention):
    seen, printed = computed(attention).detach(), torch.tensor(PRINTED[computed])
    assert seen.shape == printed.shape
    # What is printed is rounded: half of the last decimal, and a little for another machine's last digits.
    assert torch.allclose(seen.float(), printed.float(), rtol=0, atol=5.1e-5), seen
