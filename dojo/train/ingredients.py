"""The katas that a run takes, by address, and the token that all of them agree on."""

GPT2, MODERN = "gpt2", "modern"  # the models that a run can hold
# The katas that each of them is made of.
MODELS = {
    GPT2: (
        "attention/multihead",
        "gpt/config",
        "gpt/layernorm",
        "gpt/feedforward",
        "gpt/block",
        "gpt/model",
    ),
    MODERN: (
        "modern/rmsnorm",
        "modern/rope",
        "modern/swiglu",
        "modern/grouped_query",
        "modern/decoder",
    ),
}
LOOP = (
    "pretraining/loss",
    "pretraining/optimizer",
    "pretraining/schedule",
    "pretraining/training",
    "pretraining/checkpoint",
)
# Further clauses that a run calls for: where one does not hold in a learner's kata, the reference stands in for it.
NEEDED = {
    "text/dataloader": ("sources", "generator"),
    "pretraining/checkpoint": ("safetensors", "random"),
}
# A run that is continued needs more, so that what follows is bit for bit what would have followed.
NEEDED_TO_RESUME = {
    "pretraining/optimizer": ("state-dict",),
    "pretraining/training": ("undisturbed", "resumed", "rewound"),
}
NEEDED_ON_A_GPU = {"gpt/model": ("device",), "modern/grouped_query": ("device",)}
NEEDED_FOR_A_SHORT_TEXT = {"text/bpe_training": ("exhausted",)}
NEEDED_FOR_WEIGHTS = {"pretraining/gpt2_weights": ("prefix", "lm-head", "missing", "shapes")}
END_OF_TEXT = "<|endoftext|>"


def katas(model: str) -> tuple[str, ...]:
    """The addresses of all that a run with one of the models takes."""
    text = ("text/bpe_training", "text/bpe_tokenizer", "text/dataloader")
    return (*text, *MODELS[model], "pretraining/sampling", *LOOP)


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
