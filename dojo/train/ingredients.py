"""The katas that a run takes, by address, and the token that all of them agree on."""

# The katas that a model is made of, what teaches it, and all that a run takes.
MODEL = (
    "attention/multihead",
    "gpt/config",
    "gpt/layernorm",
    "gpt/feedforward",
    "gpt/block",
    "gpt/model",
)
LOOP = (
    "pretraining/loss",
    "pretraining/optimizer",
    "pretraining/schedule",
    "pretraining/training",
    "pretraining/checkpoint",
)
KATAS = (
    "text/bpe_training",
    "text/bpe_tokenizer",
    "text/dataloader",
    *MODEL,
    "pretraining/sampling",
    *LOOP,
)
# Further clauses that a run calls for: where one does not hold in a learner's kata, the reference stands in for it.
NEEDED = {
    "text/dataloader": ("sources", "generator"),
    "pretraining/checkpoint": ("safetensors", "random"),
}
# A run that is taken up needs more, so that what follows is bit for bit what would have followed.
NEEDED_TO_RESUME = {
    "pretraining/optimizer": ("state-dict",),
    "pretraining/training": ("undisturbed", "resumed", "rewound"),
}
NEEDED_ON_A_GPU = {"gpt/model": ("device",)}
NEEDED_FOR_A_SHORT_TEXT = {"text/bpe_training": ("exhausted",)}
NEEDED_FOR_WEIGHTS = {"pretraining/gpt2_weights": ("prefix", "lm-head", "missing", "shapes")}
END_OF_TEXT = "<|endoftext|>"


def needed(
    device: str, resumed: bool = False, weights: bool = False, short: bool = False
) -> dict[str, tuple[str, ...]]:
    """The further clauses that a command calls for, by the address of the kata."""
    return (
        NEEDED
        | (NEEDED_TO_RESUME if resumed else {})
        | (NEEDED_ON_A_GPU if device != "cpu" else {})
        | (NEEDED_FOR_WEIGHTS if weights else {})
        | (NEEDED_FOR_A_SHORT_TEXT if short else {})
    )
