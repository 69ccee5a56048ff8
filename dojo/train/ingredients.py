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
LOOP = ("pretraining/loss", "pretraining/optimizer", "pretraining/training", "pretraining/checkpoint")
KATAS = (
    "text/bpe_training",
    "text/bpe_tokenizer",
    "text/dataloader",
    *MODEL,
    "pretraining/sampling",
    *LOOP,
)
END_OF_TEXT = "<|endoftext|>"
